"""`afd classify` over shards of WebDataset against a folder of the same photos: time and memory.

    python benchmarks/containers.py FOLDER [--photos 50000] [--shards 50] [--few 1000]

The photos in FOLDER come again and again, as links in a folder and as members of the shards. Memory is the peak of the
largest process. Both are begun in turn, after a run that compiles the classifier.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--photos", type=int, default=50_000)
parser.add_argument("--shards", type=int, default=50)
parser.add_argument("--few", type=int, default=1000, help="photos whose memory that of all is compared with")


@dataclass(frozen=True)
class Measured:
    """One run."""

    seconds: float
    megabytes: float


def pack(photos: list[Path], scratch: Path, count: int, shards: int) -> None:
    """Make `photos/`, with `count` links, and as many shards with the same photos under the same names."""
    (scratch / "photos").mkdir(parents=True)
    each = -(-count // shards)
    for shard in range(shards):
        with tarfile.open(scratch / f"shard-{shard:04}.tar", "w") as archive:
            numbers = range(shard * each, min(count, (shard + 1) * each))
            for number, photo in zip(numbers, islice(cycle(photos), numbers.start, None), strict=False):
                (scratch / "photos" / f"{number:07}.jpg").hardlink_to(photo)
                data = photo.read_bytes()
                info = tarfile.TarInfo(f"{number:07}.jpg")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


def measure(given: str, output: Path) -> Measured:
    """Classify what is `given`."""
    command = [sys.executable, "-m", "afdcli", "classify", given, "--quiet", "--output", str(output)]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"afd classify ended with status {status}"
    return Measured(time.perf_counter() - begin, usage.ru_maxrss / 1024)


def without_names(rows: Path) -> list[str]:
    """The rows but for their names."""
    return [line.partition(",")[2] for line in rows.read_text(encoding="utf-8").splitlines()[1:]]


if __name__ == "__main__":
    arguments = parser.parse_args()
    found = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    with tempfile.TemporaryDirectory(dir=arguments.folder.parent) as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        pack(found, few, arguments.few, 1)
        pack(found, many, arguments.photos, arguments.shards)
        measure(str(few / "photos"), Path(folder, "warm.csv"))
        little = measure(str(few / "shard-0000.tar"), Path(folder, "few.csv"))
        loose = measure(str(many / "photos"), Path(folder, "folder.csv"))
        packed = measure(str(many / "shard-*.tar"), Path(folder, "shards.csv"))
        assert without_names(Path(folder, "folder.csv")) == without_names(Path(folder, "shards.csv"))
    print(f"{arguments.photos:,} photos in a folder: {loose.seconds:.1f} s, {loose.megabytes:.0f} MB")
    print(f"in {arguments.shards:,} shards: {packed.seconds:.1f} s, {packed.megabytes:.0f} MB; the same rows")
    print(f"{arguments.few:,} in a shard: {little.megabytes:.0f} MB")
    print(f"time: {packed.seconds / loose.seconds:.3f} times; memory: {packed.megabytes / little.megabytes:.3f} times")
