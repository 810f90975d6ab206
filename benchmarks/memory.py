"""Peak memory of `afd classify` over many files against few.

    python benchmarks/memory.py FOLDER [--few 1000] [--many 20000]

The files are hard links to the photos in FOLDER. Prints the peak of the largest process, and the ratio.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--few", type=int, default=1000)
parser.add_argument("--many", type=int, default=20000)
arguments = parser.parse_args()


def peak_megabytes(count: int) -> float:
    """Peak resident memory of the run's largest process over `count` files."""
    photos = itertools.cycle(sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() == ".jpg"))
    with tempfile.TemporaryDirectory(dir=arguments.folder.parent) as scratch:
        for number, photo in enumerate(itertools.islice(photos, count)):
            Path(scratch, f"{number:07}.jpg").hardlink_to(photo)
        command = [sys.executable, "-m", "afdcli", "classify", scratch, "--quiet"]
        process = subprocess.Popen([*command, "--output", f"{scratch}/predictions.csv"])
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, f"afd classify ended with status {status}"
    return usage.ru_maxrss / 1024


few, many = peak_megabytes(arguments.few), peak_megabytes(arguments.many)
print(f"{arguments.few:,} files: {few:.0f} MB. {arguments.many:,} files: {many:.0f} MB, {many / few:.3f} times as much")
