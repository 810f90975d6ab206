"""Whether a file ends before its own structure says that it does: for the words, where it could not be read."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from afdcli.photos import tiff_tags
from afdcli.photos.boxes import boxes, items
from afdcli.photos.png import SIGNATURE


def ends_early(data: bytes) -> bool:
    """Whether the end of a file is missing, as far as its format tells."""
    for begin, check in _CHECKS:
        if re.match(begin, data, re.DOTALL):
            try:
                return check(data)
            except (struct.error, IndexError):  # It ended where a number should be.
                return True
    return False


def _png(data: bytes) -> bool:
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if not kind.isalpha() or kind == b"IEND":
            return False
        place += 12 + length
    return True


def _gif(data: bytes) -> bool:
    def tables(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 128 else 0

    def after_blocks(place: int) -> int:
        while data[place]:
            place += 1 + data[place]
        return place + 1

    place = 13 + tables(data[10])
    while data[place] != 0x3B:
        if data[place] == 0x21:
            place = after_blocks(place + 2)
        elif data[place] == 0x2C:
            place = after_blocks(place + 11 + tables(data[place + 9]))
        else:
            return False
    return False


def _jpeg(data: bytes) -> bool:
    place = 2
    while data[place] == 0xFF:
        while data[place + 1] == 0xFF:
            place += 1
        marker = data[place + 1]
        if marker == 0xDA:  # What follows has no lengths.
            return False
        place += 2 + struct.unpack_from(">H", data, place + 2)[0]
    return False


def _bmp(data: bytes) -> bool:
    claimed, begin, header = (int.from_bytes(data[at : at + 4], "little") for at in (2, 10, 14))
    if header < 40 or len(data) < 14 + header:
        return len(data) < max(claimed, 14 + header)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (0, 3, 6):
        return bool(begin + (width * bits + 31) // 32 * 4 * abs(height) > len(data))
    return claimed > len(data)


def _webp(data: bytes) -> bool:
    return 8 + int.from_bytes(data[4:8], "little") > len(data)


def _boxed(data: bytes) -> bool:
    found = list(boxes(data))
    if not found or found[-1].end > len(data):
        return True
    if 0 < len(data) - found[-1].end < 8:
        return True
    if any(end > len(data) for item in items(data).by_number.values() for _, end in item.extents):
        return True
    kinds = {box.kind for box in found}
    if kinds & {b"jp2c"}:
        return _codestream(data[next(box.begin for box in found if box.kind == b"jp2c") :])
    return not kinds & {b"meta", b"moov", b"jxlc", b"jxlp"}


def _codestream(data: bytes) -> bool:
    """Of JPEG 2000 (ISO/IEC 15444-1, annex A): each part of a tile has its length in front."""
    place = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == 0xFF90:  # SOT
            (part,) = struct.unpack_from(">I", data, place + 6)
            if part == 0:  # to the end
                return not data.endswith(b"\xff\xd9")
            place += max(part, 12)
        elif marker >> 8 == 0xFF:
            place += 2 + length
        else:
            return False
        if data[place : place + 2] == b"\xff\xd9":
            return False


def _ppm(data: bytes) -> bool:
    plain, bitmap = data[1:2] in b"123", data[1:2] in b"14"
    head = re.match(rb"P[1-6]" + rb"(?:\s|#[^\n\r]*[\n\r])+(\d+)" * (2 if bitmap else 3) + rb"\s", data)
    if head is None:
        return re.fullmatch(rb"P[1-6](?:\s|#[^\n\r]*[\n\r]|\d+)*", data) is not None
    width, height, *most = map(int, head.groups())
    samples = width * height * (3 if data[1:2] in b"36" else 1)
    if plain:
        rest = re.sub(rb"#[^\n\r]*", b"", data[head.end() :])
        return (sum(map(rest.count, (b"0", b"1"))) if bitmap else len(rest.split())) < samples
    return len(data) - head.end() < ((width + 7) // 8 * height if bitmap else samples * (2 if most[0] > 255 else 1))


_CHECKS: tuple[tuple[bytes, Callable[[bytes], bool]], ...] = (
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"GIF8[79]a", _gif),
    (rb"\xff\xd8\xff", _jpeg),
    (rb"BM", _bmp),
    (rb"RIFF....WEBP", _webp),
    (rb"II[*+]\x00|MM\x00[*+]", tiff_tags.ends_early),
    (rb"....(ftyp|jP  |JXL )", _boxed),
    (rb"\xff\x4f\xff\x51", _codestream),
    (rb"P[1-6]", _ppm),
)
"""What files of each format begin with, and how to tell."""
