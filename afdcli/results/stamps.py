"""What the photos of a result were when they were read: `predictions.csv.stamps`, beside `predictions.csv`.

A line for each row, all of one length, so that the N-th is found and rewritten in its place. `--resume` compares them
with the photos as they are now. Rows without a line, of an older afd or after a power cut, are taken to be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path

from afdcli.errors import OutputRefused
from afdcli.photos.stamping import UNKNOWN
from afdcli.results.record import STAMPS

_LENGTH = len(UNKNOWN) + 1


def stamps_path(path: Path) -> Path:
    """Where the stamps of the result at `path` are."""
    return path.with_name(path.name + STAMPS)


class Stamps:
    """The stamps beside one result.

    Where rows are added, write their stamps first; where rows are replaced, afterwards. So whatever moment a run is
    killed at, no old row gets the stamp of a new photo: stamps of rows that never came are cut off at the next start.
    """

    def __init__(self, path: Path, rows: int) -> None:
        """Open those of the result at `path`, or begin them, for the `rows` that it has.

        Raises:
            OutputRefused: they cannot be written.
        """
        self._path = stamps_path(path)
        try:
            self._path.touch()
            self._file = self._path.open("r+b")
        except OSError as error:
            raise self._refusal(error) from None
        known = min(self._path.stat().st_size // _LENGTH, rows)
        self.keep(known)
        self.write(known, repeat(UNKNOWN, rows - known))

    def __iter__(self) -> Iterator[str]:
        """Each, in order."""
        with self._path.open("rb") as file:
            while line := file.read(_LENGTH):
                yield line[:-1].decode("ascii", "replace")

    def keep(self, rows: int) -> None:
        """Cut off those after the first `rows`."""
        self._file.truncate(rows * _LENGTH)

    def write(self, first: int, stamps: Iterable[str]) -> None:
        """Have `stamps` stand for the rows from number `first` on (from 0).

        Raises:
            OutputRefused: there is no room.
        """
        try:
            self._file.seek(first * _LENGTH)
            self._file.writelines(f"{one}\n".encode() for one in stamps)
            self._file.flush()
        except OSError as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """What was written is in the file already."""
        with suppress(OSError):  # what found no room, which was told
            self._file.close()

    def _refusal(self, error: OSError) -> OutputRefused:
        return OutputRefused(f"'{self._path}' cannot be written: {error.strerror}. Mend that, and --resume.")
