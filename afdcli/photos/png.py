"""PNG: what counts for its pixels, and nothing else, is given to Pillow, which refuses files for faults in the rest.

Viewers pass over a damaged chunk that is not critical (PNG, third edition, 13.1), and read text of any length.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from afdcli.photos.opened import Opened

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
GREY, RGB, PALETTE = 0, 2, 3
"""Colour types."""
LONGEST = 1_000_000
"""The most bytes that Pillow unpacks of a text or a profile."""
LONGEST_PROFILE = 1 << 26
"""The most bytes that are unpacked of a profile here; a longer one is no profile."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk."""

    kind: bytes
    begin: int
    """Where it begins in the file, with its length."""
    body: memoryview
    whole: bool
    """Whether its checksum is right."""


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG file, up to the first that is cut off or makes no sense."""
    place, view = len(SIGNATURE), memoryview(data)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if not kind.isalpha() or end + 4 > len(data):
            return
        (checksum,) = struct.unpack_from(">I", data, end)
        yield Chunk(kind, place, view[place + 8 : end], zlib.crc32(view[place + 4 : end]) == checksum)
        place = end + 4


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk as it stands in a file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def opened(data: bytes) -> Opened:
    """Open a PNG file with Pillow, without what does not count, and with transparency as the format means it.

    Raises:
        Exception: whatever Pillow raises.
    """
    parts, place, profile, by_hand, depth, colours = [SIGNATURE], len(SIGNATURE), b"", b"", 0, 0
    for one in chunks(data):
        place = one.begin + 12 + len(one.body)
        if one.kind == b"IHDR" and len(one.body) == 13:
            depth, colours = one.body[8], one.body[9]
        if one.kind in CRITICAL or (one.whole and _counts(one)):
            parts.append(data[one.begin : place])
        elif one.whole and one.kind == b"iCCP":
            profile = _unpacked(bytes(one.body).partition(b"\0")[2][1:], LONGEST_PROFILE)
        elif one.whole and one.kind == b"tRNS":
            key = _transparent(bytes(one.body), depth, colours)
            if (depth, colours) == (16, RGB):
                by_hand = key
            elif key:
                parts.append(chunk(b"tRNS", key))
    rest = b"" if data[place + 4 : place + 5].islower() else data[place:]  # of a chunk that does not count, cut off
    kept = b"".join(parts) + rest
    image = Image.open(io.BytesIO(kept), formats=("PNG",))
    if profile:
        image.info["icc_profile"] = profile
    return Opened(image, partial(_without_colour, kept, by_hand)) if by_hand else Opened(image)


def _counts(one: Chunk) -> bool:
    """Whether a chunk that is not critical says how the photo is turned."""
    if one.kind == b"eXIf":
        return True
    keyword, _, text = bytes(one.body).partition(b"\0")
    if one.kind == b"iTXt" and keyword == b"XML:com.adobe.xmp":
        packed, rest = text[:1] == b"\1", text[2:].split(b"\0", 2)
        return len(rest) == 3 and bool(_unpacked(rest[2], LONGEST) if packed else rest[2])
    if keyword != b"Raw profile type exif":
        return False
    return one.kind == b"tEXt" or (one.kind == b"zTXt" and bool(_unpacked(text[1:], LONGEST)))


def _unpacked(packed: bytes, most: int) -> bytes:
    """The contents of compressed text or of a profile; none where they are damaged, or more bytes than `most`."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, most)
    except zlib.error:
        return b""
    return b"" if unpacker.unconsumed_tail else content


def _transparent(key: bytes, depth: int, colours: int) -> bytes:
    """What is transparent, as Pillow compares it: with greys of 8 bits, of whatever depth they were.

    Of each number in the file, as many bits count as a sample has. None where the chunk is too short.
    """
    if colours == PALETTE:
        return key
    values = [number & (1 << depth) - 1 for number in struct.unpack(f">{len(key) // 2}H", key[: len(key) // 2 * 2])]
    if len(values) < {GREY: 1, RGB: 3}.get(colours, len(key)):
        return b""
    if colours == GREY and depth in (2, 4):
        values = [number * 255 // ((1 << depth) - 1) for number in values]
    return struct.pack(f">{len(values)}H", *values)


def _without_colour(data: bytes, key: bytes, image: Image.Image) -> Image.Image:
    """`image`, of which Pillow kept the upper 8 of 16 bits, transparent where all 16 are those of `key`."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as lower:
        lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]  # the other byte of each sample
        lower.load()
        bands = zip(image.split(), lower.split(), struct.unpack(">3H", key[:6]), strict=True)
        hidden = np.logical_and.reduce(
            [(np.asarray(high) == value >> 8) & (np.asarray(low) == value & 255) for high, low, value in bands]
        )
    clear = image.copy()
    clear.putalpha(Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8)))
    clear.format = image.format
    return clear
