"""Files with many photos in them, a row for each kind: how they end, and what goes through them and reads one again.

The members come in order, in one pass, and nothing is unpacked to disk. A name inside is only a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from afdcli.formats import image_tables, tars, zips
from afdcli.formats.members import Member


@dataclass(frozen=True)
class Container:
    """One kind of file with members."""

    endings: tuple[str, ...]
    """How the names of its files end, in lower case."""
    members: Callable[[BinaryIO], Iterator[Member]]
    """Goes through a file; what cannot be read is a member with an error, never an exception."""
    read: Callable[[BinaryIO, str], bytes]
    """Reads the member at a place that `members` gave, in any order; raises `UnreadableImage` if it cannot."""


CONTAINERS = {
    "zip": Container((".zip",), zips.members, zips.read),
    "tar": Container(
        (".tar", *(".tar.gz", ".tgz", ".tar.zst", ".tzst", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")),
        tars.members,
        tars.read,
    ),
    "parquet": Container((".parquet",), image_tables.members, image_tables.read),
}
"""The kinds of containers; `zip://` and `tar://` in an address name those here."""


def kind_of(name: str) -> str | None:
    """The kind of container that a file called `name` is; None if it is none."""
    lower = name.lower()
    return next((kind for kind, one in CONTAINERS.items() if lower.endswith(one.endings)), None)
