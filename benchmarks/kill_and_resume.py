"""Kill `afd classify` and `afd degrade` with SIGKILL at random moments, resume, and compare with an uninterrupted run.

    python benchmarks/kill_and_resume.py FOLDER [--kills 20] [--files 400]

Works on copies of photos in FOLDER. Fails at the first difference.
"""

import argparse
import hashlib
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--kills", type=int, default=20)
parser.add_argument("--files", type=int, default=400)
arguments = parser.parse_args()
afd = (sys.executable, "-m", "afdcli")


def contents(*paths: Path) -> dict[str, str]:
    """The SHA-256 of every file; records are left out, for they hold the command as it was typed."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return {
        str(file.relative_to(paths[0].parent)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file.suffix != ".json"
    }


def kill_and_resume(command: list[str], seconds: float) -> int:
    """Kill `command` at a random moment of the `seconds` it takes, and run it again; 0 if it was too fast to kill."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(random.uniform(0.1, 1.0) * seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    killed = process.returncode == -9
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return killed


with tempfile.TemporaryDirectory() as scratch:
    root = Path(scratch)
    photos = itertools.cycle(
        sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    )
    for number, photo in enumerate(itertools.islice(photos, arguments.files)):
        copy = root / "photos" / f"{number % 7}" / f"{number:05}.jpg"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, copy)

    def classify(out: str) -> list[str]:
        """The command, with its output in a folder of its own."""
        (root / out).mkdir(exist_ok=True)
        output = str(root / out / "predictions.csv")
        return [*afd, "classify", str(root / "photos"), "--resume", "--batch-size", "16", "--output", output]

    def degrade(out: str) -> list[str]:
        """The command; it resumes by itself."""
        return [*afd, "degrade", str(root / "photos"), str(root / out), "--qf", "10", "--qf", "30", "--passes", "2"]

    for name, command in (("classify", classify), ("degrade", degrade)):
        begin = time.perf_counter()
        subprocess.run(command("whole"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds, whole, killed = time.perf_counter() - begin, contents(root / "whole"), 0
        shutil.rmtree(root / "whole")
        while killed < arguments.kills:
            killed += kill_and_resume(command("whole"), seconds)
            assert contents(root / "whole") == whole, f"{name} differs after a kill"
            shutil.rmtree(root / "whole")
        print(f"{name}: {killed} kills within {seconds:.1f} s, the same {len(whole)} files each time")
