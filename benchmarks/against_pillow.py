"""`afd degrade` against a bare script that does the same with Pillow in as many processes, in turn.

    python benchmarks/against_pillow.py FOLDER [--qf 10] [--rounds 6]

The script reads each photo, and writes it as a JPEG: no manifest, no checksums, no turning, nothing that could be gone
on with. Neither converts colours. Prints both rates, start-up excluded, and their ratio.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from afdcli import Compression, Degradation, DegradeOptions, Degrading
from afdcli.machines.hardware import default_workers
from afdcli.options import ReadOptions

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--qf", type=int, default=10)
parser.add_argument("--rounds", type=int, default=6)


def compress(path: Path, source: Path, destination: Path, quality: int) -> None:
    """Write one copy."""
    copy = destination / path.relative_to(source).with_suffix(".jpg")
    copy.parent.mkdir(parents=True, exist_ok=True)
    Image.open(path).convert("RGB").save(copy, "JPEG", quality=quality)


def bare(source: Path, destination: Path, quality: int) -> float:
    """Photos a second by Pillow alone."""
    paths = [path for path in source.rglob("*") if path.is_file()]
    with ProcessPoolExecutor(default_workers()) as pool:
        list(pool.map(abs, range(default_workers())))  # they have started
        begin = time.perf_counter()
        work = partial(compress, source=source, destination=destination, quality=quality)
        done = sum(1 for _ in pool.map(work, paths, chunksize=8))
        return done / (time.perf_counter() - begin)


def ours(source: Path, destination: Path, quality: int) -> float:
    """Photos a second by afd, from the second on: the first waits for its processes."""
    degradation = Degradation(((Compression("jpeg", quality),),))
    options = DegradeOptions(source, destination, (degradation,), read=ReadOptions(icc="ignore"))
    copies = Degrading(options).copies()
    next(copies)
    begin = time.perf_counter()
    return sum(1 for _ in copies) / (time.perf_counter() - begin)


if __name__ == "__main__":
    arguments = parser.parse_args()
    ratios = []
    for number in range(arguments.rounds):
        rates = {}
        for run in (bare, ours) if number % 2 else (ours, bare):  # whoever is second finds the disk busy
            with tempfile.TemporaryDirectory() as scratch:
                rates[run] = run(arguments.folder, Path(scratch, "copies"), arguments.qf)
        ratios.append(rates[ours] / rates[bare])
        print(f"round {number + 1}: Pillow {rates[bare]:.0f} photos a second, afd {rates[ours]:.0f}")
    print(f"median: {100 * statistics.median(ratios):.0f} % of Pillow's rate")
