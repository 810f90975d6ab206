"""JPEG's quantisation tables as text: people design tables for classifiers, which see other things than eyes do."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass

from afdcli.errors import WrongUse

CELLS = 64
MOST = 255
"""The largest step that a baseline JPEG can hold."""


@dataclass(frozen=True)
class Tables:
    """Two 8x8 tables as they are at quality 50, row by row: the one for brightness and the one for colour."""

    name: str
    """What rows and folders call them: the file's name, and the beginning of its numbers' SHA-256."""
    luma: tuple[int, ...]
    chroma: tuple[int, ...]

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for tuples."""
        object.__setattr__(self, "luma", tuple(self.luma))
        object.__setattr__(self, "chroma", tuple(self.chroma))

    def scaled(self, quality: int) -> list[list[int]]:
        """Both tables at a quality from 1 to 100, scaled as the Independent JPEG Group scales its own."""
        factor = 5000 // quality if quality < 50 else 200 - 2 * quality
        return [[min(max((step * factor + 50) // 100, 1), MOST) for step in one] for one in (self.luma, self.chroma)]


def read_tables(path: str) -> Tables:
    """The tables in a text file: 128 whole numbers between blanks, commas or line ends; `#` begins a remark.

    Raises:
        WrongUse: the file cannot be read, or has anything else in it.
    """
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  # imported at every start: no more than is needed
            text = re.sub(r"#.*", "", file.read())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise WrongUse(f"qtables={path} cannot be read: {reason}. Name a text file with two 8x8 tables.") from None
    words = text.replace(",", " ").split()
    if len(words) != 2 * CELLS or not all(re.fullmatch("[0-9]{1,5}", word) and int(word) for word in words):
        raise WrongUse(
            f"qtables={path} must have two 8x8 tables: {2 * CELLS} whole numbers from 1 to 99999. It has {len(words)}"
            f" {'numbers' if len(words) != 2 * CELLS else 'values, not all of them such numbers'}."
        )
    numbers = tuple(map(int, words))
    digest = hashlib.sha256(" ".join(map(str, numbers)).encode()).hexdigest()[:8]
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", os.path.splitext(os.path.basename(path))[0])[:40]
    return Tables(f"{stem}-{digest}", numbers[:CELLS], numbers[CELLS:])
