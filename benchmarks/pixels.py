"""Whether every kind of photo is read as the pixels it was made of, whole and cut off; a table of all, as Markdown.

    python benchmarks/pixels.py [--output benchmarks/pixels.md]

The pictures are those of the tests, `tests/photos/ways.py`: each format, depth, kind of colour and orientation, put
together by hand or by an encoder, with the array that it was made of. Where another decoder's command is installed, it
reads the whole files as well (Debian: libheif-examples, libtiff-tools, libjxl-tools, libavif-bin, webp,
libopenjp2-tools, libjpeg-turbo-progs, netpbm). A minute of one core. The exit code is 1 if any pixel is wrong.
"""

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, __version__

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "photos"))
from ways import Way  # type: ignore[import-not-found]
from ways_encoded import all_ways  # type: ignore[import-not-found]

from afdcli.errors import UnreadableImage
from afdcli.formats import codecs
from afdcli.options import ReadOptions
from afdcli.photos.reading import decode_rgb

OTHERS = {
    "JPEG": ("djpeg -dct int -outfile {out} {file}", "jpg", "ppm"),
    "WEBP": ("dwebp -quiet {file} -o {out}", "webp", "png"),
    "AVIF": ("avifdec {file} {out}", "avif", "png"),
    "HEIF": ("heif-convert {file} {out}", "heic", "png"),
    "JXL": ("djxl {file} {out}", "jxl", "png"),
    "JPEG2000": ("opj_decompress -i {file} -o {out}", "jp2", "png"),
    "TIFF": ("tiff2rgba {file} {out}", "tif", "tif"),
    "GIF": ("giftopnm {file}", "gif", "ppm"),
    "BMP": ("bmptopnm {file}", "bmp", "ppm"),
    "PNG": ("pngtopnm {file}", "png", "ppm"),
    "PPM": ("ppmtoppm", "ppm", "ppm"),
}
"""Other decoders: a command, and the endings of what it reads and writes. Those without {out} write to their output."""
LEFT_TO_THE_ARRAY = ("alpha", "band", "transparent", "palette of bytes", "other inks", "CMYK", "smaller", "animated")
"""Kinds for which these commands lay over nothing, or mean something else."""
NEAR = 3
"""Levels that decoders of lossy formats may differ by."""


def pixels(data: bytes) -> np.ndarray | str:
    """(H, W, 3) as afd reads them, or why it does not."""
    try:
        return np.asarray(decode_rgb(data, ReadOptions(icc="ignore")).image).astype(int)
    except UnreadableImage as error:
        return str(error)


def whole(way: Way) -> str:
    """What becomes of the whole file."""
    found = pixels(way.data)
    if isinstance(found, str):
        return "refused" if way.right is None else f"**not read**: {found}"
    if way.right is None or found.shape != way.right.shape:
        return "**wrong**"
    apart = np.abs(found - way.right)
    return "right" if (apart.mean() if way.lossy else apart.max()) <= way.within else "**wrong**"


def cut(way: Way) -> list[str]:
    """What becomes of its first tenth, ... nine tenths."""
    right, outcomes = pixels(way.data), []
    if isinstance(right, str):
        return []
    for tenths in range(1, 10):
        found = pixels(way.data[: len(way.data) * tenths // 10])
        if isinstance(found, str):
            outcomes.append("truncated" if "truncated" in found else "refused")
        else:
            outcomes.append("right" if np.array_equal(found, right) else "**wrong**")
    return outcomes


def by_another(way: Way, folder: Path) -> str:
    """How far another decoder's pixels are from afd's, at most."""
    command, before, after = OTHERS[way.format]
    program = command.split()[0]
    if shutil.which(program) is None or any(kind in way.kind + way.writing for kind in LEFT_TO_THE_ARRAY):
        return ""
    ending = "j2k" if way.data[:2] == b"\xff\x4f" else before
    file, out = folder / f"picture.{ending}", folder / f"out.{after}"
    file.write_bytes(way.data)
    out.unlink(missing_ok=True)
    run = subprocess.run(command.format(file=file, out=out).split(), capture_output=True, input=way.data, check=False)
    if "{out}" not in command:
        out.write_bytes(run.stdout)
    if run.returncode != 0 or not out.exists() or out.stat().st_size == 0:
        return f"{program} refuses it"
    found, image = pixels(way.data), Image.open(out)
    levels = np.asarray(image).astype(int)
    other = np.dstack([(levels + 128) // 257] * 3) if image.mode.startswith("I") else np.asarray(image.convert("RGB"))
    if isinstance(found, str):
        return f"{program} reads it"
    if found.shape != other.shape:
        return f"{program} does not turn it" if way.orientation > 1 else f"**{program}: another size**"
    apart = int(np.abs(found - other.astype(int)).max())
    if way.orientation > 1 and apart > NEAR:
        return f"{program} does not turn it"
    return f"{program}: {apart}" if apart <= NEAR else f"{program} differs by {apart}"


def counted(words: list[str]) -> str:
    """Equal words once, with their number."""
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words) if word)


def table(ways: list[Way]) -> list[str]:
    """A line for each format, way of writing, depth and kind; its orientations together."""
    groups: dict[tuple[str, str, int, str], list[Way]] = defaultdict(list)
    for way in ways:
        groups[way.format, way.writing, way.depth, way.kind].append(way)
    head = ("format", "written", "bits", "kind", "orientations", "whole", "cut at each tenth", "levels from another's")
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for (format, writing, depth, kind), group in groups.items():
            turns = f"{group[0].orientation}" if len(group) == 1 else f"{len(group)}, all there are"
            results = [whole(way) for way in group]
            cuts = [outcome for way in group for outcome in cut(way)]
            others = dict.fromkeys(by_another(way, Path(folder)) for way in group)
            cells = (format, writing, str(depth), kind, turns, ", ".join(dict.fromkeys(results)), counted(cuts),
                     "; ".join(filter(None, others)))  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="where the table goes; standard output if it is left out")
    arguments = parser.parse_args()
    lines = table(all_ways())
    wrong = sum("**" in line for line in lines)
    readers = [f"Pillow {__version__}", *sorted({version for version in codecs.versions().values() if version})]
    text = "\n".join([
        "# Pixels: every kind of photo, whole and cut off", "",
        f"Made by `python benchmarks/pixels.py`: {len(lines) - 2} kinds, {wrong} of them with a pixel that is wrong.",
        f"Python {platform.python_version()}, {', '.join(readers)}.", "",
        "What is `right` is, to one level of 255, the array that the file was made of; where it is lossy, its",
        "mean error is 6 at most. Cut off, a file is `truncated` (refused), or `right`: all pixels are there, and",
        "what is missing is something else. What is `refused` whole cannot be told, or is not supported. The",
        "array alone says what is right: other decoders lack some kinds, `tiff2rgba` skips wrongly in greys of 16",
        "bits where a tile is not filled, and `bmptopnm` passes over the masks behind a header of 40 bytes.",
        "",
        *lines, ""])  # fmt: skip
    print(text) if arguments.output is None else arguments.output.write_text(text, encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
