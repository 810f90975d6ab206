"""Kill `afd classify`, `evaluate`, `degrade` and `train` with SIGKILL at random moments, resume, and compare with an
uninterrupted run; `classify` also of shards.

    python benchmarks/kill_and_resume.py FOLDER [--kills 100] [--files 400] [--commands classify,train]

Works on copies of photos in FOLDER. Each kill is of a run begun anew, at any moment between 10 and 90 percent of the
time that it takes. Fails at the first difference. Says how many kills came when some of the output, not all, was there.
"""

import argparse
import hashlib
import itertools
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDS = ".json"
"""How the files end that may differ: they hold the command as it was typed."""
TIMES = (".md", ".png")
"""Of `afd evaluate --compare`: they tell how many milliseconds an image took."""
afd = (sys.executable, "-m", "afdcli")


def commands(photos: Path) -> dict[str, list[str]]:
    """The commands, but for where they write."""
    few = str(photos / "0")
    return {
        "classify": ["classify", str(photos), "--resume", "--output", "predictions.csv"],
        "shards": ["classify", f"{photos.parent}/shard-*.tar", "--resume", "--output", "predictions.csv"],
        "evaluate": ["evaluate", few, "--resume", "--jpeg", "30,10", "--per-photo", "photos.csv"],
        "degrade": ["degrade", str(photos), "copies", "--qf", "10", "--qf", "30", "--passes", "2"],
        "train": [
            *("train", few, "--output", "module.safetensors", "--steps", "12", "--batch-size", "4"),
            *("--validate-every", "3", "--device", "cpu", "--workers", "1"),
        ],
    }


def plain(file: Path) -> bytes:
    """The bytes of `file`; of safetensors with their header in order, as they have texts in any order."""
    data = file.read_bytes()
    if file.suffix != ".safetensors":
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    return json.dumps(json.loads(data[8:end]), sort_keys=True).encode() + data[end:]


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that must be the same; not of what a killed process left half-written."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(plain(file)).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix not in (RECORDS, *TIMES) and not file.name.startswith(".afd-")
    }


def run(command: list[str], folder: Path, seconds: float | None = None) -> int:
    """The exit code of `command` in `folder`, which is killed after so many `seconds`."""
    process = subprocess.Popen([*afd, *command, "--quiet"], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    else:
        assert process.returncode == 0, said
    return process.returncode


def resumed(command: list[str], folder: Path) -> list[str]:
    """`command` as it goes on. `afd train` takes --resume only where there is something to go on from."""
    if command[0] == "train":
        if (folder / "module.state.safetensors").exists():
            return [*command, "--resume"]
        return [*command, "--overwrite"]
    return command


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--commands", default="classify,shards,evaluate,degrade,train")
    arguments = parser.parse_args()
    endings = (".jpg", ".jpeg")
    found = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in endings)
    with tempfile.TemporaryDirectory() as scratch:
        root, photos = Path(scratch), Path(scratch, "photos")
        for number, photo in enumerate(itertools.islice(itertools.cycle(found), arguments.files)):
            copy = photos / f"{number % 7}" / f"{number:05}.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, copy)
        for copies in sorted(photos.iterdir()):
            shutil.make_archive(str(root / f"shard-{copies.name}"), "tar", copies)
        for name in arguments.commands.split(","):
            command, folder = commands(photos)[name], root / name
            folder.mkdir()
            run(command, folder)  # compiles the classifier, so that the next run takes what all others do
            shutil.rmtree(folder)
            folder.mkdir()
            begin = time.perf_counter()
            run(command, folder)
            seconds, whole, killed, amid = time.perf_counter() - begin, contents(folder), 0, 0
            while killed < arguments.kills:
                shutil.rmtree(folder)
                folder.mkdir()
                if run(command, folder, random.uniform(0.1, 0.9) * seconds) != -9:
                    continue
                killed += 1
                amid += bool(left := contents(folder)) and left != whole
                run(resumed(command, folder), folder)
                assert contents(folder) == whole, f"{name} differs after a kill"
            told = f"{name}: {killed} kills within {seconds:.1f} s, {amid} of them amid the output"
            print(f"{told}; the same {len(whole)} files each time", flush=True)


if __name__ == "__main__":
    main()
