"""`afd classify` against timm's own loader and eager model, whole processes, in turn.

    python benchmarks/against_timm.py FOLDER [--baseline SCRIPT] [--rounds 3]

SCRIPT is run as `python SCRIPT FOLDER OUT.csv`, and prints its images/s without start-up first. Prints how many times
faster afd is, start-up included and not.
"""

import argparse
import re
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


def run(*command: str | Path) -> tuple[float, str]:
    """Wall time of one process, and what it prints."""
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return time.perf_counter() - begin, done.stdout


whole, started = [], []
with tempfile.TemporaryDirectory() as scratch:
    out = Path(scratch)
    afd = (sys.executable, "-m", "afdcli", "classify", arguments.folder, "--output", out / "afd.csv", "--overwrite")
    baseline = (sys.executable, arguments.baseline, arguments.folder, out / "baseline.csv")
    run(*afd)  # Both read the photos from memory, not from the disk.
    for number in range(arguments.rounds):
        (theirs, they_said), (ours, we_said) = run(*baseline), run(*afd)
        rate = float(re.findall(r"([\d.]+) images/s", they_said)[0])
        photos, seconds = re.findall(r"([\d,]+) of [\d,]+ photos in ([\d,.]+) s", we_said)[0]
        our_rate = int(photos.replace(",", "")) / float(seconds.replace(",", ""))
        whole.append(theirs / ours)
        started.append(our_rate / rate)
        print(
            f"round {number + 1}: baseline {theirs:.1f} s, {rate:.1f} photos a second once started; "
            f"afd {ours:.1f} s, {our_rate:.1f} photos a second"
        )
print(
    f"median: afd is {statistics.median(whole):.2f} times as fast, {statistics.median(started):.2f} times once started"
)
