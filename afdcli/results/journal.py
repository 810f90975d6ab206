"""Rows in a file that grows: it is valid at every byte, and goes on after its last complete row."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Iterator
from io import FileIO
from itertools import islice
from pathlib import Path

from afdcli.errors import OutputRefused
from afdcli.formats.rows import Lines, Row


class Journal:
    """The rows at `path`, encoded as `lines` do: opened for reading and appending by `open`."""

    def __init__(self, path: Path, lines: Lines, result: Path) -> None:
        """Take the file at `path`, which need not be there yet; `result` is how its user knows it."""
        self.path = path
        self.rows = 0
        """Complete rows in the file."""
        self._end = 0
        """Where they end, in bytes."""
        self._lines = lines
        self._result = result
        self._file: FileIO

    @property
    def head(self) -> bytes:
        """The bytes before the first row."""
        return self._lines.head

    def begin(self, rows: Iterable[Row] = ()) -> None:
        """Write the file anew, with `rows`."""
        self.path.write_bytes(self.head + b"".join(map(self._lines.encode, rows)))

    def check_head(self) -> None:
        """Check that the file begins as it should.

        Raises:
            OutputRefused: it does not, so it is not of these columns.
        """
        with self.path.open("rb") as begun:
            begin = begun.read(len(self.head))
        if not self.head.startswith(begin):
            raise foreign(self._result)

    def open(self) -> None:
        """Open the file at its end, after cutting off what a killed run left half written."""
        self._file = self.path.open("r+b", buffering=0)
        self._file.write(self.head)
        self._end = len(self.head)
        self.settle()

    def close(self) -> None:
        """Close the file. What was appended is in it already."""
        self._file.close()

    def settle(self) -> None:
        """Count the complete rows that are in the file after those that are counted, and cut off what follows."""
        for record in self.records(self._end):
            self._end += len(record)
            self.rows += 1
        self._cut()

    def records(self, begin: int | None = None, path: Path | None = None) -> Iterator[bytes]:
        """The complete rows as bytes, from the byte `begin` on or else the first; of a copy at `path`, if given."""
        with (path or self.path).open("rb") as file:
            file.seek(len(self.head) if begin is None else begin)
            yield from self._lines.split(file)

    def read(self, snapshot: Path | None = None) -> Iterator[Row]:
        """The rows in the file now, in order; of a copy that is made at `snapshot`, if it is given."""
        if snapshot is not None:
            shutil.copyfile(self.path, snapshot)
        return map(self.decode, islice(self.records(path=snapshot), self.rows))

    def decode(self, record: bytes) -> Row:
        """The row that has these bytes.

        Raises:
            OutputRefused: none has.
        """
        try:
            return self._lines.decode(record)
        except (ValueError, RecursionError, csv.Error):
            raise foreign(self._result) from None

    def encode(self, rows: Iterable[Row]) -> list[bytes]:
        """Each of `rows` as bytes."""
        return [self._lines.encode(row) for row in rows]

    def truncate(self, rows: int) -> None:
        """Cut the file after its first `rows` rows."""
        self._end = len(self.head) + sum(map(len, islice(self.records(), rows)))
        self._cut()
        self.rows = rows

    def append(self, rows: Iterable[Row]) -> None:
        """Append `rows`, and have them in the file when this returns.

        Raises:
            OutputRefused: there is no room. The file ends in its last complete row.
        """
        encoded = self.encode(rows)
        data = memoryview(b"".join(encoded))
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._cut()
            raise no_room(self._result, error) from None
        self._end += sum(map(len, encoded))
        self.rows += len(encoded)

    def check_there(self) -> None:
        """Check that what was appended is still at `path`.

        Raises:
            OutputRefused: another file is there, or none.
        """
        try:
            there = os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
        except OSError:
            there = False
        if not there:
            raise OutputRefused(f"'{self.path}' was deleted or replaced while rows were written. Run it again.")

    def _cut(self) -> None:
        self._file.truncate(self._end)
        self._file.seek(self._end)


def no_room(path: Path, error: OSError) -> OutputRefused:
    """What to raise where the disk is full, or takes nothing else any more."""
    return OutputRefused(
        f"'{path}' cannot be written: {error.strerror}. What it holds is right: mend that, and --resume."
    )


def foreign(path: Path) -> OutputRefused:
    """What to raise where rows are not those that were written."""
    return OutputRefused(f"'{path}' was changed by another program. Choose another name, or delete it.")
