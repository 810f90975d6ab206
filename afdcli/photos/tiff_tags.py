"""What a TIFF says of itself: the tags of its first image (TIFF 6.0, section 2; BigTIFF), and where its pixels lie."""

from __future__ import annotations

import struct

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""How many bytes a value of each type has."""
NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""The types of whole numbers, as `struct` writes them."""
STRIPS, TILES = (273, 279), (324, 325)
"""Where strips and tiles begin, and how many bytes they have."""


NEEDED = (258, 320, 347, *STRIPS, *TILES)
"""Tags without which there is no picture; the values of others may lie anywhere."""


class Cut(ValueError):
    """The file ends before what it says is in it."""


class Tags:
    """The tags of a file's first image, by number."""

    def __init__(self, data: bytes) -> None:
        """Read them.

        Raises:
            Cut: the file ends before them.
        """
        self.data = data
        self.order = ">" if data[:2] == b"MM" else "<"
        big = b"+" in data[2:4]
        word, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
        (place,) = self._at(word, 8 if big else 4)
        (number,) = self._at(count, place)
        place += struct.calcsize(count)
        self._values: dict[int, tuple[int, bytes]] = {}
        for begin in range(place, place + number * entry, entry):
            tag, kind = self._at("HH", begin)
            (many,) = self._at(word, begin + 4)
            size, where = SIZES.get(kind, 0) * many, begin + 4 + struct.calcsize(word)
            if size > struct.calcsize(word):
                (where,) = self._at(word, where)
            elif where + size > len(data):
                raise Cut
            self._values.setdefault(tag, (kind, data[where : where + size]))
            if tag in NEEDED and where + size > len(data):
                raise Cut

    def _at(self, form: str, place: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self.data, place)
        except (struct.error, OverflowError):
            raise Cut from None

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        """The whole numbers of a tag; `default` where it is not there, or not of such."""
        kind, value = self._values.get(tag, (0, b""))
        if kind not in NUMBERS:
            return default
        size = SIZES[kind]
        return struct.unpack(f"{self.order}{len(value) // size}{NUMBERS[kind]}", value[: len(value) // size * size])

    def number(self, tag: int, default: int = 0) -> int:
        """The first of `numbers`."""
        return (self.numbers(tag, default) or (default,))[0]

    def content(self, tag: int) -> bytes:
        """The bytes of a tag that has bytes."""
        kind, value = self._values.get(tag, (0, b""))
        return value if kind in (1, 7) else b""

    def extents(self) -> list[tuple[int, int]]:
        """Where each strip or tile begins, and how many bytes it has."""
        places, lengths = TILES if TILES[0] in self._values else STRIPS
        return list(zip(self.numbers(places), self.numbers(lengths), strict=False))


def ends_early(data: bytes) -> bool:
    """Whether a TIFF ends before its tags, or its pixels, do."""
    try:
        return any(place + length > len(data) for place, length in Tags(data).extents())
    except Cut:
        return True
