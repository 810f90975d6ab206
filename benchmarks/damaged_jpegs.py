"""Damage JPEGs in every way that disks, networks and recovery tools do, and see what afd makes of them; as Markdown.

    python benchmarks/damaged_jpegs.py [--output benchmarks/damaged_jpegs.md] [PHOTO ...]

Each photo is made small, written in every way that a JPEG can be, and each of those damaged in every way. What afd
makes of the file is held against djpeg (Debian: libjpeg-turbo-progs), which warns of what it has to make up, and
against djpeg's pixels of the undamaged file. Minutes of one core. The exit code is 1 if afd takes for whole what djpeg
warns of, however its buffers fall, and whose pixels are others.
"""

import argparse
import io
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from afdcli.errors import UnreadableImage
from afdcli.formats import codecs
from afdcli.options import ReadOptions
from afdcli.photos.reading import decode_rgb

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
SIDE = 320
"""Pixels of the longer side of the photos."""
BUFFER = 4096
"""Bytes that djpeg reads at a time."""
EOI = b"\xff\xd9"
PLACES = (0.02, 0.1, 0.25, 0.4, 0.5, 0.65, 0.8, 0.9, 0.97)
"""Where a cluster begins, as a share of what is between the first scan's head and the end marker."""
LENGTHS = (16, 64, 512, 4096)

MEANING = """Each cell counts files. **refused**: without a flag, as each file should be that has lost something; of
these, **read as incomplete** with `--truncated read` (of the others no decoder reads anything). **right**: the row says
`ok`, and the pixels are those that djpeg gives of the undamaged file. **untold**: `ok`, and other pixels, which are
those that djpeg gives of the damaged file without a warning: [what nobody can tell](../docs/jpegs.md). **by chance**:
the same, but djpeg warns or not as a comment before the picture moves it about in the 4 KB that it reads at a time:
libjpeg-turbo's quick way through a buffer passes over a code that means nothing, and over up to seven bytes at the end.
**wrong**: `ok`, and other pixels, while djpeg warns in any case or has yet others; there must be none.
"""

Damage = Callable[[bytes, bytes, random.Random], Iterator[bytes]]
"""From a file, another of the same kind and chance to damaged files."""


def scan_of(data: bytes) -> tuple[int, int]:
    """Where what is coded begins and ends: from behind the first scan's head to the end marker."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"), len(data) - len(EOI)


def places(data: bytes) -> Iterator[int]:
    """Places all over the scans."""
    begin, end = scan_of(data)
    for share in PLACES:
        yield begin + int(share * (end - begin))


def ended(data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    for at in places(data):
        yield data[:at] + EOI


def cut(data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    for at in places(data):
        yield data[:at]


def cluster(value: bytes, length: int, data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    for at in places(data):
        count = min(length, scan_of(data)[1] - at)
        yield data[:at] + value * count + data[at + count :]


def zeros_to_the_end(data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    for at in places(data):
        yield data[:at] + bytes(len(data) - at)


def missing(length: int, data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    for at in places(data):
        yield data[:at] + data[min(at + length, scan_of(data)[1]) :]


def twice(length: int, data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    for at in places(data):
        yield data[: at + length] + data[at:]


def bits(count: int, data: bytes, _: bytes, rng: random.Random) -> Iterator[bytes]:
    for _place in PLACES:
        found = bytearray(data)
        for at in rng.sample(range(*scan_of(data)), count):
            found[at] ^= 1 << rng.randrange(8)
        yield bytes(found)


def values(count: int, data: bytes, _: bytes, rng: random.Random) -> Iterator[bytes]:
    for _place in PLACES:
        found = bytearray(data)
        for at in rng.sample(range(*scan_of(data)), count):
            found[at] = rng.randrange(256)
        yield bytes(found)


def rubbish(length: int, data: bytes, _: bytes, rng: random.Random) -> Iterator[bytes]:
    for at in places(data):
        count = min(length, scan_of(data)[1] - at)
        yield data[:at] + rng.randbytes(count) + data[at + count :]


def spliced(data: bytes, other: bytes, _: random.Random) -> Iterator[bytes]:
    for at, there in zip(places(data), places(other), strict=True):
        yield data[:at] + other[there:]


def inserted(length: int, data: bytes, other: bytes, _: random.Random) -> Iterator[bytes]:
    for at, there in zip(places(data), places(other), strict=True):
        count = min(length, scan_of(data)[1] - at, len(other) - there)
        yield data[:at] + other[there : there + count] + data[at + count :]


def restarts(data: bytes, _: bytes, rng: random.Random) -> Iterator[bytes]:
    """A marker gone, or another, or zeros, or twice; a part gone, or twice; eight parts gone."""
    found = [one.start() for one in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    for _place in PLACES if len(found) > 10 else ():
        number = rng.randrange(len(found) - 9)
        here, after = found[number], found[number + 1]
        another = bytes((0xFF, 0xD0 | (data[here + 1] + rng.randint(1, 7)) & 7))
        yield data[:here] + data[here + 2 :]
        yield data[:here] + another + data[here + 2 :]
        yield data[:here] + b"\0\0" + data[here + 2 :]
        yield data[:here] + data[here : here + 2] + data[here:]
        yield data[:here] + data[after:]
        yield data[:after] + data[here:]
        yield data[:here] + data[found[number + 8] :]


def scans(data: bytes, _: bytes, __: random.Random) -> Iterator[bytes]:
    """The scans behind the first one gone, or one of them, with an end marker."""
    found = [one.start() for one in re.finditer(rb"\xff\xda", data)][1:]
    for at, end in pairwise([*found, len(data) - len(EOI)]):
        yield data[:at] + EOI
        yield data[:at] + data[end:]


DAMAGES: dict[str, Damage] = {
    "the rest gone, an end marker there": ended,
    "the rest gone": cut,
    "the rest zeros": zeros_to_the_end,
    **{f"{length} zeros": partial(cluster, b"\0", length) for length in LENGTHS},
    **{f"{length} times FF": partial(cluster, b"\xff", length) for length in LENGTHS},
    **{f"{length} random bytes in a row": partial(rubbish, length) for length in LENGTHS},
    **{f"{length} bytes of another photo": partial(inserted, length) for length in LENGTHS},
    **{f"{length} bytes gone": partial(missing, length) for length in (1, *LENGTHS)},
    **{f"{length} bytes twice": partial(twice, length) for length in LENGTHS},
    **{f"bits flipped: {count}": partial(bits, count) for count in (1, 8, 64)},
    **{f"bytes changed: {count}": partial(values, count) for count in (1, 8, 64)},
    "two photos spliced": spliced,
    "restart markers": restarts,
    "scans gone": scans,
}


def ways() -> Iterator[tuple[str, str, Callable[[Image.Image], bytes]]]:
    """Each way of writing a JPEG: how it is coded, its colours and restarts, and what writes it."""
    codings = {
        "baseline": [],
        "baseline, optimized": ["-optimize"],
        "progressive": ["-progressive"],
        "arithmetic": ["-arithmetic"],
        "arithmetic, progressive": ["-arithmetic", "-progressive"],
    }
    colours = {"grey": ("L", 0), "4:2:0": ("RGB", 2), "4:4:4": ("RGB", 0)}
    for coding, flags in codings.items():
        for name, (mode, subsampling) in colours.items():
            for restart in (0, 1):
                kind = f"{name}, {'a restart each row' if restart else 'no restarts'}"
                rows = ["-restart", str(restart)] if restart else []
                yield coding, kind, partial(written, mode, subsampling, [*flags, *rows])


def written(mode: str, subsampling: int, flags: list[str], image: Image.Image) -> bytes:
    """`image` as a JPEG, which jpegtran then writes anew as `flags` say, with the same coefficients."""
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "JPEG", quality=85, subsampling=subsampling)
    run = subprocess.run(["jpegtran", *flags], input=buffer.getvalue(), capture_output=True, check=True)
    return run.stdout


def by_djpeg(data: bytes) -> tuple[np.ndarray | None, str]:
    """The pixels, (H, W, 3), that djpeg gives, if any, and what it warns of."""
    run = subprocess.run(["djpeg", "-dct", "int", "-pnm"], input=data, capture_output=True, check=False)
    try:
        picture = np.asarray(Image.open(io.BytesIO(run.stdout)).convert("RGB"))
    except OSError:
        return None, run.stderr.decode()
    return picture, run.stderr.decode()


def by_afd(data: bytes, truncated: str) -> tuple[np.ndarray, bool] | None:
    """The pixels, (H, W, 3), and whether they are said to be complete; None of what is refused."""
    try:
        read = decode_rgb(data, ReadOptions(icc="ignore", truncated=truncated))
    except UnreadableImage:
        return None
    return np.asarray(read.image), read.complete


def outcome(damaged: bytes, right: np.ndarray) -> str:
    """What afd makes of a file: a column of the tables."""
    found = by_afd(damaged, "refuse")
    if found is None:
        anyhow = by_afd(damaged, "read")
        if anyhow is None:
            return "refused"
        return "wrong" if anyhow[1] else "incomplete"
    if np.array_equal(found[0], right):
        return "right"
    picture, warning = by_djpeg(damaged)
    if picture is None or not np.array_equal(found[0], picture):
        return "wrong"
    if not warning:
        return "untold"
    return "wrong" if all(by_djpeg(moved(damaged, by))[1] for by in range(256, BUFFER, 256)) else "by chance"


def moved(data: bytes, by: int) -> bytes:
    """The same JPEG with a comment of so many bytes at its beginning."""
    return data[:2] + b"\xff\xfe" + (by - 2).to_bytes(2, "big") + bytes(by - 4) + data[2:]


@dataclass
class Counts:
    """How often each outcome was seen: of each coding and damage, and of each way of writing."""

    damages: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    kinds: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def count(images: list[Image.Image], kept: Path | None) -> Counts:
    """Try everything; files of which the outcome is wrong are written to the folder `kept`."""
    counts = Counts()
    for coding, kind, write in ways():
        files = [write(image) for image in images]
        for number, data in enumerate(files):
            right, warning = by_djpeg(data)
            assert right is not None and not warning, warning
            rng = random.Random(number)
            for name, damage in DAMAGES.items():
                for turn, damaged in enumerate(damage(data, files[number - 1], rng)):
                    if damaged == data:
                        continue
                    found = outcome(damaged, right)
                    counts.damages[coding, name][found] += 1
                    counts.kinds[coding, kind][found] += 1
                    if found == "wrong" and kept is not None:
                        (kept / f"{coding} {kind} {name} {number} {turn}.jpg").write_bytes(damaged)
    return counts


def table(title: str, counts: dict[tuple[str, str], Counter[str]]) -> list[str]:
    """Lines of Markdown, and a last one with the sum."""
    lines = [
        f"| coded | {title} | files | refused | of these, read as incomplete | right | untold | by chance | wrong |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    total = Counter[str]()
    for (coding, name), found in [*counts.items(), (("all", ""), total)]:
        refused = found["refused"] + found["incomplete"]
        numbers = (found.total(), refused, *(found[name] for name in ("incomplete", "right", "untold", "by chance")))
        cells = [f"{number or ''}" for number in numbers]
        cells.append(f"**{found['wrong']}**" if found["wrong"] else "")
        lines.append(f"| {coding} | {name} | {' | '.join(cells)} |")
        total += found
    return lines


def small(path: Path) -> Image.Image:
    """The photo at `path`, with SIDE pixels on its longer side."""
    image = decode_rgb(path.read_bytes(), ReadOptions()).image
    image.thumbnail((SIDE, SIDE))
    return image


def version() -> str:
    """What djpeg says of itself."""
    run = subprocess.run(["djpeg", "-version"], capture_output=True, text=True, check=True)
    return (run.stdout + run.stderr).splitlines()[0].split(" (")[0]


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="*", help="two or more; two of the examples if they are left out")
    parser.add_argument("--output", type=Path, help="where the tables go; standard output if it is left out")
    parser.add_argument("--keep", type=Path, help="a folder for the files of which something is wrong")
    arguments = parser.parse_args()
    paths = arguments.photos or [PHOTOS / "red-panda.jpg", PHOTOS / "lemur.jpg"]
    counts = count([small(path) for path in paths], arguments.keep)
    wrong = sum(found["wrong"] for found in counts.damages.values())
    files = sum(found.total() for found in counts.damages.values())
    made = f"Made by `python benchmarks/damaged_jpegs.py`: {files:,} files, {wrong} of them wrong."
    made += f" afd read them with {codecs.versions()['jpeg']}; djpeg is of {version()}."
    lines = [*table("damage", counts.damages), "", "The same files, by how they were written:", ""]
    text = "\n".join(["# Damaged JPEGs", "", made, "", MEANING, *lines, *table("kind", counts.kinds), ""])
    print(text) if arguments.output is None else arguments.output.write_text(text, encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
