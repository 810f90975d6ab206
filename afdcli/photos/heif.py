"""HEIC and AVIF: what their decoders do not look at.

- libheif shows what is there of a picture of tiles, and the rest green: whether all of it is there is checked before.
- AVIF's clean aperture (`clap`) is applied; libheif does so for HEIC.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from afdcli.errors import UnreadableImage
from afdcli.photos.boxes import Item, boxes, items

MOST_SIDE, MOST_PIXELS = 32_768, 16_384**2
"""What libavif reads, at most."""


def check_whole(data: bytes) -> None:
    """Check that all bytes that a HEIC or AVIF file's items are said to have are in the file.

    Raises:
        UnreadableImage: some are not, or a tile of a HEIC is not made of whole units.
    """
    for item in items(data).by_number.values():
        if any(end > len(data) for _, end in item.extents):
            raise UnreadableImage("damaged image: the file is truncated")
        if item.kind == b"hvc1" and not _whole_units(data, item):
            raise UnreadableImage("damaged image: a part of its pixels makes no sense")


def _whole_units(data: bytes, item: Item) -> bool:
    # ISO/IEC 14496-15, 8.3.2: each unit has its length in front. Zeros behind the last one do no harm.
    config = next((body for kind, body in item.properties if kind == b"hvcC" and len(body) > 21), None)
    size = (config[21] & 3) + 1 if config else 4
    if len(item.extents) != 1:  # Nobody writes a picture in pieces; then the decoder has to tell.
        return True
    begin, end = item.extents[0]
    place = begin
    while place + size <= end:
        length = int.from_bytes(data[place : place + size], "big")
        if length == 0:
            return place > begin
        place += size + length
    return place <= end


def clean_aperture(data: bytes) -> tuple[int, int, int, int] | None:
    """The part of an AVIF's stored pixels that is to be shown: left, top, right, bottom. None where all of it is.

    See ISO/IEC 14496-12, 12.1.4.
    """
    found = items(data)
    body, size = found.of_primary(b"clap"), found.of_primary(b"ispe")
    if body is None or size is None or len(body) != 32 or len(size) != 12:
        return None
    numbers = struct.unpack(">8i", body)
    if 0 in numbers[1::2]:
        return None
    width, height, right, down = map(Fraction, numbers[::2], numbers[1::2])
    whole = struct.unpack(">II", size[4:])
    left, top = ((whole[0] - width) / 2 + right, (whole[1] - height) / 2 + down)
    box = tuple(int(edge + Fraction(1, 2)) for edge in (left, top, left + width, top + height))
    inside = 0 <= box[0] < box[2] <= whole[0] and 0 <= box[1] < box[3] <= whole[1]
    return (box[0], box[1], box[2], box[3]) if inside else None


def too_large(data: bytes) -> str | None:
    """Why an AVIF is too large for its decoder, in words. None where it is not."""
    size = items(data).of_primary(b"ispe")
    if size is None or len(size) != 12:
        return None
    width, height = struct.unpack(">II", size[4:])
    if max(width, height) <= MOST_SIDE and width * height <= MOST_PIXELS:
        return None
    return f"an AVIF of {width:,} x {height:,} pixels, which is too large: {MOST_SIDE:,} a side can be read at most"


def is_heif(data: bytes) -> bool:
    """Whether `data` begins as HEIC and AVIF files do."""
    first = next(boxes(data[:4096]), None)
    return first is not None and first.kind == b"ftyp"
