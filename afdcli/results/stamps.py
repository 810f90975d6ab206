"""What the photos of a result were when they were read: `predictions.csv.stamps`, beside `predictions.csv`.

A line for each photo, all of one length, so that the N-th is found and rewritten in its place: the photo's stamp, and a
checksum of its rows. `--resume` compares the one with the photos as they are now, and the other with the rows. Rows
without a line, of an older afd or after a power cut, are taken to be right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from afdcli.errors import OutputRefused
from afdcli.photos.stamp import UNKNOWN
from afdcli.results.record import STAMPS

_LENGTH = 2 * len(UNKNOWN) + 2


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of the rows of one photo."""

    stamp: str = UNKNOWN
    """What the photo was, see `stamp`."""
    checksum: str = UNKNOWN
    """That of the bytes of its rows, see `checksum`."""


def checksum(records: Iterable[bytes]) -> str:
    """16 characters that change with any of `records`."""
    found = hashlib.blake2b(digest_size=8)
    for record in records:
        found.update(record)
    return found.hexdigest()


def stamps_path(path: Path) -> Path:
    """Where the stamps of the result at `path` are."""
    return path.with_name(path.name + STAMPS)


class Stamps:
    """The stamps beside one result.

    Where rows are added, write their stamps first; where rows are replaced, afterwards. So whatever moment a run is
    killed at, no old row gets the stamp of a new photo: stamps of rows that never came are cut off at the next start.
    """

    def __init__(self, path: Path, photos: int) -> None:
        """Open those of the result at `path`, or begin them, for the `photos` that it has rows of.

        Raises:
            OutputRefused: they cannot be written.
        """
        self._path = stamps_path(path)
        try:
            self._path.touch()
            self._file = self._path.open("r+b")
        except OSError as error:
            raise self._refusal(error) from None
        size = self._path.stat().st_size
        is_ours = self._file.read(_LENGTH)[-1:] == b"\n"  # not of before there were checksums, whose lines are shorter
        known = min(size // _LENGTH, photos) if is_ours else 0
        self.keep(known)
        self.write(known, repeat(Mark(), photos - known))

    def __iter__(self) -> Iterator[Mark]:
        """Each, in order."""
        with self._path.open("rb") as file:
            while line := file.read(_LENGTH):
                stamp, _, found = line[:-1].decode("ascii", "replace").partition(" ")
                yield Mark(stamp, found)

    def keep(self, photos: int) -> None:
        """Cut off those after the first `photos`."""
        self._file.truncate(photos * _LENGTH)

    def write(self, first: int, marks: Iterable[Mark]) -> None:
        """Have `marks` stand for the photos from number `first` on (from 0).

        Raises:
            OutputRefused: there is no room.
        """
        try:
            self._file.seek(first * _LENGTH)
            self._file.writelines(f"{one.stamp} {one.checksum}\n".encode() for one in marks)
            self._file.flush()
        except OSError as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """What was written is in the file already."""
        with suppress(OSError):  # what found no room, which was told
            self._file.close()

    def _refusal(self, error: OSError) -> OutputRefused:
        return OutputRefused(f"'{self._path}' cannot be written: {error.strerror}. Mend that, and --resume.")
