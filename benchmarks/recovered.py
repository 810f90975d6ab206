"""What a de-drifting module wins back, as the tables of its model card.

    python benchmarks/recovered.py DATASET [--weights auto] [--backbone NAME]

DATASET has a folder for each class. Every protocol compares the classifier with and without the module on the same
compressed bytes. Recovered share = (with - without) / (undamaged - without), top-1, of the means over the levels.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from afdcli import Compression, EvaluateOptions, Evaluation, ModelOptions
from afdcli.classifier import reuse_memory
from afdcli.options import DEFAULT_BACKBONE
from afdcli.results import Row

JPEG = tuple(Compression("jpeg", quality) for quality in (25, 18, 15, 10, 7))
AVIF = tuple(Compression("avif", quality) for quality in (50, 40, 30, 20, 10))
PROTOCOLS = {
    "JPEG, crop-first": {"levels": JPEG},
    "JPEG, compress-first": {"levels": JPEG, "order": "compress-first"},
    "JPEG, 2 to 5 passes, crop-first": {"levels": JPEG, "passes": (2, 3, 4, 5)},
    "AVIF, crop-first": {"levels": AVIF},
}


def top1(row: Row) -> str:
    """The accuracy with its interval."""
    return f"{row['top1']:.1f} ({row['top1_low']:.1f} - {row['top1_high']:.1f})"


def show(title: str, without: Sequence[Row], with_module: Sequence[Row]) -> None:
    """One table; the first of the rows are of the undamaged photos."""
    print(f"\n| {title} | without | with | recovered |\n| --- | --- | --- | --- |")
    for plain, mended in zip(without, with_module, strict=True):
        level = "undamaged" if plain["quality"] is None else f"{plain['codec'].upper()} {plain['quality']}"
        passes = f", {plain['passes']} passes" if plain["passes"] > 1 else ""
        print(f"| {level}{passes} | {top1(plain)} | {top1(mended)} | |")
    clean, before, after = without[0]["top1"], *(mean(r["top1"] for r in rows[1:]) for rows in (without, with_module))
    print(
        f"| **mean** | {before:.1f} | {after:.1f} | **{100 * (after - before) / (clean - before):.1f} %** |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    arguments = parser.parse_args()
    reuse_memory()
    for title, protocol in PROTOCOLS.items():
        run = Evaluation(
            EvaluateOptions(
                arguments.dataset,
                weights=("none", arguments.weights),
                model=ModelOptions(arguments.backbone),
                **protocol,
            )
        )
        for _ in run.photos():
            pass
        rows = run.rows()
        half = len(rows) // 2
        show(title, rows[:half], rows[half:])


if __name__ == "__main__":
    main()
