"""`afd classify` against timm's own loader and eager model, whole processes, in turn.

    python benchmarks/against_timm.py FOLDER [--baseline SCRIPT] [--rounds 3]

SCRIPT is run as `python SCRIPT FOLDER OUT.csv`. Prints the wall time of each process, start-up included, and the ratio
of each pair.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--baseline", type=Path, default=Path(__file__).with_name("timm_loop.py"))
parser.add_argument("--rounds", type=int, default=3)
arguments = parser.parse_args()


def seconds(*command: str | Path) -> float:
    """Wall time of one process."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


ratios = []
with tempfile.TemporaryDirectory() as scratch:
    out = Path(scratch)
    afd = (sys.executable, "-m", "afdcli", "classify", arguments.folder, "--quiet", "--output", out / "afd.csv")
    baseline = (sys.executable, arguments.baseline, arguments.folder, out / "baseline.csv")
    seconds(*afd)  # Both read the photos from memory, not from the disk.
    for number in range(arguments.rounds):
        theirs, ours = seconds(*baseline), seconds(*afd)
        ratios.append(theirs / ours)
        print(f"round {number + 1}: baseline {theirs:.1f} s, afd {ours:.1f} s, afd is {ratios[-1]:.2f} times as fast")
print(f"median: {statistics.median(ratios):.2f} times as fast")
