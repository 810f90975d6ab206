"""The boxes of the ISO base media file format (ISO/IEC 14496-12), which HEIC, AVIF, JPEG XL and JPEG 2000 are kept in,
and the items of the first two (ISO/IEC 23008-12): which bytes of a file each picture, and each tile of one, is made of.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Box:
    """One box."""

    kind: bytes
    """Its type, four bytes."""
    begin: int
    """Where its contents begin, in bytes from the file's beginning."""
    end: int
    """Where they should end: beyond the file's end, if that was cut off."""


def boxes(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that lie one after the other in `data`, up to the first that is cut off or makes no sense."""
    end = len(data) if end is None else min(end, len(data))
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        head = 8
        if size == 1 and begin + 16 <= end:  # The size has 64 bits.
            (size,), head = struct.unpack_from(">Q", data, begin + 8), 16
        elif size == 0:  # To the end of what it lies in.
            size = end - begin
        if size < head:
            return
        yield Box(kind, begin + head, begin + size)
        begin += size


def find(data: bytes, kind: bytes, within: Box | None = None, skip: int = 0) -> Box | None:
    """The first box of a `kind` in the file, or `within` another box, whose first `skip` bytes are not boxes."""
    places = boxes(data) if within is None else boxes(data, within.begin + skip, min(within.end, len(data)))
    return next((box for box in places if box.kind == kind), None)


class _Fields:
    """Whole numbers, one after the other. What lies beyond the box's end is a `ValueError`."""

    def __init__(self, data: bytes, box: Box) -> None:
        self.data, self.place, self.end = data, box.begin, min(box.end, len(data))

    def take(self, size: int) -> int:
        """The next number, of `size` bytes; 0 for none."""
        if self.place + size > self.end:
            raise ValueError("a box ends amid a number")
        self.place += size
        return int.from_bytes(self.data[self.place - size : self.place], "big")


@dataclass(slots=True)
class Item:
    """A picture, a tile, or a block of metadata."""

    kind: bytes = b""
    """What it is: `hvc1`, `av01`, `grid`, `Exif`, ..."""
    extents: list[tuple[int, int]] = field(default_factory=list)
    """Where its bytes lie in the file: begin and end."""
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    """The kinds and the contents of what is said of it."""


@dataclass(frozen=True, slots=True)
class Items:
    """All items of a HEIC or AVIF file."""

    primary: int
    """The number of the picture that is shown; 0 if none is."""
    by_number: dict[int, Item]

    def of_primary(self, kind: bytes) -> bytes | None:
        """What the property `kind` says of the picture that is shown."""
        item = self.by_number.get(self.primary, Item())
        return next((body for name, body in item.properties if name == kind), None)


def items(data: bytes) -> Items:
    """The items of a HEIC or AVIF file; what its boxes do not say, because they are cut off or damaged, is left out."""
    found: dict[int, Item] = {}
    meta = find(data, b"meta")
    primary = 0
    for name, read in ((b"iinf", _kinds), (b"iloc", _extents), (b"iprp", _properties)):
        if meta and (box := find(data, name, meta, 4)):
            try:
                read(data, box, found, meta)
            except ValueError:
                continue
    if meta and (box := find(data, b"pitm", meta, 4)):
        primary = int.from_bytes(data[box.begin + 4 : box.end], "big")
    return Items(primary, found)


def _kinds(data: bytes, box: Box, found: dict[int, Item], meta: Box) -> None:
    fields = _Fields(data, box)
    version = fields.take(4) >> 24
    fields.take(4 if version else 2)
    for entry in boxes(data, fields.place, fields.end):
        entries = _Fields(data, entry)
        version = entries.take(4) >> 24
        number = entries.take(4 if version == 3 else 2)
        entries.take(2)
        found.setdefault(number, Item()).kind = entries.take(4).to_bytes(4, "big")


def _extents(data: bytes, box: Box, found: dict[int, Item], meta: Box) -> None:
    fields = _Fields(data, box)
    version, sizes = fields.take(4) >> 24, fields.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(fields.take(4 if version == 2 else 2)):
        item = found.setdefault(fields.take(4 if version == 2 else 2), Item())
        method = fields.take(2) & 15 if version else 0
        elsewhere = fields.take(2) != 0
        base = fields.take(base_size)
        if method == 1 and (idat := find(data, b"idat", meta, 4)):  # within a box beside this one
            base += idat.begin
        for _ in range(fields.take(2)):
            fields.take(index_size if version else 0)
            begin = base + fields.take(offset_size)
            length = fields.take(length_size)
            if method < 2 and not elsewhere:
                item.extents.append((begin, begin + length))


def _properties(data: bytes, box: Box, found: dict[int, Item], meta: Box) -> None:
    shared = find(data, b"ipco", box)
    said = [(one.kind, data[one.begin : one.end]) for one in boxes(data, shared.begin, shared.end)] if shared else []
    for place in boxes(data, box.begin, box.end):
        if place.kind != b"ipma":
            continue
        fields = _Fields(data, place)
        flags = fields.take(4)
        for _ in range(fields.take(4)):
            item = found.setdefault(fields.take(4 if flags >> 24 else 2), Item())
            for _ in range(fields.take(1)):
                index = fields.take(2) & 0x7FFF if flags & 1 else fields.take(1) & 0x7F
                if 0 < index <= len(said):
                    item.properties.append(said[index - 1])
