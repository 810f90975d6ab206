"""Rows that take the place of others amid a file: `predictions.csv.changes`, until `predictions.csv` is rewritten.

Lines change their length, so a row cannot be changed in its place. Those that were made anew gather here, and get their
places all at once: a run that is killed on the way has the old file and them, or the new file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from afdcli import atomic
from afdcli.results.journal import Journal
from afdcli.results.record import CHANGES
from afdcli.results.stamps import checksum


def changes_path(path: Path) -> Path:
    """Where the rows wait that are to take their place in the result at `path`."""
    return path.with_name(path.name + CHANGES)


class Changes:
    """The rows that wait beside one result.

    A line is a JSON list: the number of the first row (from 0), the rows as in the result, and their checksum.

    What was made together is in a line together, and a line that is not as it was written does not count: cut by a
    power failure, say. The checksums of rows then tell that these are still to be made.
    """

    def __init__(self, path: Path) -> None:
        """Take those that wait for the result at `path`, if there are any."""
        self._path = changes_path(path)

    def add(self, first: int, records: Iterable[bytes]) -> None:
        """Have `records` stand for those from number `first` on, which comes after all that were added before.

        Raises:
            OSError: there is no room.
        """
        records = list(records)
        line = json.dumps([first, [record.decode() for record in records], checksum([b"%d" % first, *records])])
        with self._path.open("ab") as file:
            file.write(line.encode() + b"\n")

    def apply(self, journal: Journal) -> None:
        """Rewrite the file of `journal` with the changes in their places, and end them.

        Raises:
            OutputRefused: there is no room.
        """
        if self._path.exists():
            with atomic.file(journal.path) as fresh, fresh.open("wb") as file:
                file.writelines(self._merged(journal.head, journal.records()))
            self._path.unlink()

    def _merged(self, head: bytes, records: Iterable[bytes]) -> Iterator[bytes]:
        yield head
        changed = self._read()
        number, new = next(changed, (-1, b""))
        for count, record in enumerate(records):
            if count == number:
                yield new
                number, new = next(changed, (-1, b""))
            else:
                yield record

    def _read(self) -> Iterator[tuple[int, bytes]]:
        """The number of each row that changes, and what it becomes."""
        with self._path.open("rb") as file:
            for line in file:
                try:
                    first, texts, expected = json.loads(line)
                    records = [text.encode() for text in texts]
                    is_whole = line.endswith(b"\n") and checksum([b"%d" % first, *records]) == expected
                except (ValueError, TypeError, AttributeError, RecursionError):
                    is_whole = False
                if is_whole:
                    yield from enumerate(records, first)
