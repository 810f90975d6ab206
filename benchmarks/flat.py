"""`afd classify` over many files against few: memory, the time each file takes, and the wait for the first row.

    python benchmarks/flat.py FOLDER [--few 1000] [--many 100000]

The files are hard links to the photos in FOLDER. Memory is the peak of the largest process; the time for a file is
counted from the first rows on, in the two halves of a run as well.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--few", type=int, default=1000)
parser.add_argument("--many", type=int, default=100_000)


@dataclass(frozen=True)
class Measured:
    """One run."""

    megabytes: float
    first_row: float
    """Seconds from the start to the first row in the output."""
    halves: tuple[float, float]
    """Milliseconds a file takes in each half of the run."""


def link_photos(folder: Path, destination: Path, count: int) -> None:
    """Make `destination`, with so many links to the photos in `folder`, which is on the same disk."""
    destination.mkdir()
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    for number, photo in enumerate(itertools.islice(itertools.cycle(found), count)):
        (destination / f"{number:07}.jpg").hardlink_to(photo)


def measure(folder: Path, count: int) -> Measured:
    """Classify `count` files."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        photos, output = Path(scratch, "photos"), Path(scratch, "rows.csv")
        link_photos(folder, photos, count)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "afdcli", "classify", str(photos), "--quiet", "--output", str(output)]
        process = subprocess.Popen(command)
        seen = watch(output, count, begin)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"afd classify ended with status {status}"
    middle = min(seen, key=lambda point: abs(point[1] - count / 2))
    halves = [1000 * (b[0] - a[0]) / (b[1] - a[1]) for a, b in ((seen[0], middle), (middle, seen[-1]))]
    return Measured(usage.ru_maxrss / 1024, seen[0][0], (halves[0], halves[1]))


def watch(output: Path, count: int, begin: float) -> list[tuple[float, int]]:
    """Seconds since `begin` and rows by then, each time there are more, up to `count`."""
    seen: list[tuple[float, int]] = []
    while not output.exists():
        time.sleep(0.01)
    with output.open("rb") as file:
        lines = 0
        while lines < 1 + count:  # the first is the head
            if new := file.read().count(b"\n"):
                lines += new
                if lines > 1:
                    seen.append((time.perf_counter() - begin, lines - 1))
            time.sleep(0.01)
    return seen


if __name__ == "__main__":
    arguments = parser.parse_args()
    few, many = (measure(arguments.folder, count) for count in (arguments.few, arguments.many))
    for count, run in ((arguments.few, few), (arguments.many, many)):
        print(
            f"{count:,} files: {run.megabytes:.0f} MB, first row after {run.first_row:.1f} s, "
            f"{run.halves[0]:.2f} and {run.halves[1]:.2f} ms a file in the first and the second half"
        )
    print(f"memory: {many.megabytes / few.megabytes:.3f} times; time: {many.halves[1] / many.halves[0]:.3f} times")
