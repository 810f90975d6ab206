"""Damage photos at random, and read them: nothing but `UnreadableImage` may come out of the reader, and no memory grow.

    python benchmarks/fuzz.py FOLDER [--seconds 3600] [--seed 0]

Starts from the photos in FOLDER, and from small ones in every format that can be written here. Each turn changes, cuts,
inserts, repeats or splices bytes of one, or sets a field of four bytes to an extreme, and reads what that gives. With
Google's atheris installed (pip install atheris), --atheris has coverage choose the changes instead.

Decoders are libraries: one that crashes the process ends this with the bytes in crash.bin, which it keeps up to date.
"""

import argparse
import io
import random
import resource
import struct
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from afdcli.errors import UnreadableImage
from afdcli.formats.codecs import CODECS
from afdcli.options import ReadOptions
from afdcli.photos.reading import decode_rgb

LOSSLESS = ("PNG", "GIF", "BMP", "TIFF", "PPM")
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
LARGEST = 200_000
"""Photos of more bytes are left out: small ones reach as much code, and more often."""
READ = ReadOptions(icc="apply", max_pixels=4_000_000)
WARM = 0.2
"""After this share of the time, memory is expected to have its size."""


def small_photos() -> list[bytes]:
    """One of each format that can be written here, by itself and with a transparency."""
    rng, found = np.random.default_rng(0), []
    picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    clear = picture.copy()
    clear.putalpha(128)
    names = [*LOSSLESS, *(codec.pillow for codec in CODECS.values() if codec.provider() is not None)]
    for name in names:
        for one in (picture, clear, picture.convert("L"), picture.convert("P")):
            buffer = io.BytesIO()
            try:
                one.save(buffer, format=name)
            except (OSError, KeyError, ValueError, NotImplementedError):  # a mode that the format has not
                continue
            found.append(buffer.getvalue())
    return found


def damaged(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """`data` after one to four changes."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(found) + 1), rng.choice((1, 2, 4, 16, 200))
        kind = rng.randrange(6)
        if kind == 0:
            found[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            del found[at : at + length]
        elif kind == 2:
            found[at:at] = found[at : at + length] * rng.randint(1, 50)
        elif kind == 3:
            found[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(EXTREMES))
        elif kind == 4:
            other = rng.choice(others)
            found[at:] = other[rng.randrange(len(other)) :]
        elif rng.random() < 0.2:
            del found[at:]
    return bytes(found)


def read(data: bytes) -> str:
    """What became of it: `read`, or the first words of the reason why not."""
    try:
        decode_rgb(data, READ)
    except UnreadableImage as error:
        assert str(error), "a refusal without a reason"
        return " ".join(str(error).split()[:3])
    return "read"


def megabytes() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def at_random(starts: list[bytes], seconds: float, seed: int, kept: Path) -> None:
    """Damage and read for so many seconds."""
    rng, ends, begin, warm = random.Random(seed), Counter[str](), time.monotonic(), 0.0
    turns = 0
    while (passed := time.monotonic() - begin) < seconds:
        data = damaged(rng.choice(starts), starts, rng)
        kept.write_bytes(data)
        ends[read(data)] += 1
        turns += 1
        if not warm and passed > WARM * seconds:
            warm = megabytes()
    kept.unlink()
    for reason, count in ends.most_common(12):
        print(f"{count:9,}  {reason}")
    now = megabytes()
    print(
        f"{turns:,} files in {seconds:.0f} s: none came past the reader. {warm:.0f} MB early, {now:.0f} MB at the end."
    )
    assert now < 1.25 * warm + 50, "memory has grown"


def by_coverage(starts: list[bytes], seconds: float, seed: int, kept: Path) -> None:
    """The same with atheris, which never returns."""
    import atheris

    atheris.instrument_all()
    corpus = kept.with_suffix(".corpus")
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(starts):
        (corpus / f"start-{number}").write_bytes(data)
    flags = [f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}", "-rss_limit_mb=4096", "-timeout=60"]
    atheris.Setup([sys.argv[0], *flags, f"-max_len={LARGEST}", str(corpus)], lambda data: read(data) and None)
    atheris.Fuzz()


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", action="store_true")
    arguments = parser.parse_args()
    photos = [path for path in sorted(arguments.folder.rglob("*")) if path.is_file() and path.suffix != ".md"]
    starts = [*small_photos(), *(path.read_bytes() for path in photos if path.stat().st_size < LARGEST)]
    fuzz = by_coverage if arguments.atheris else at_random
    fuzz(starts, arguments.seconds, arguments.seed, Path("crash.bin"))


if __name__ == "__main__":
    main()
