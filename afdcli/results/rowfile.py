"""Rows in a file that is valid at every moment, survives being killed, and can be gone on with.

Beside `predictions.csv` lies its record, `predictions.csv.json`: the settings, the versions, and whether the file is
complete. It is how a file is known to be afd's own, and what `--resume` compares; see `record`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from afdcli import atomic
from afdcli.errors import OutputRefused
from afdcli.results.changes import Changes, changes_path
from afdcli.results.record import PARTIAL, check_may_write, digest, record_path, write_record
from afdcli.results.record import read_record as read_record  # as names of this module too
from afdcli.results.record import record as record
from afdcli.results.stamps import stamps_path

Row = Mapping[str, Any]
"""A value for each column: text, a whole number, a number, a truth value, or None."""
Columns = Mapping[str, type]
"""The columns in order, and what their values are."""


def files_of(path: Path) -> list[Path]:
    """All files that the result at `path` is made of, whether they are there now or not."""
    return list(dict.fromkeys((path, _journal_path(path), record_path(path), stamps_path(path), changes_path(path))))


def _journal_path(path: Path) -> Path:
    """Where the rows of the result at `path` gather: in itself, if its format can grow."""
    return path.with_name(path.name + PARTIAL) if path.suffix.lower() == ".parquet" else path


def _no_room(path: Path, error: OSError) -> OutputRefused:
    return OutputRefused(
        f"'{path}' cannot be written: {error.strerror}. What it holds is right: mend that, and --resume."
    )


def _foreign(path: Path) -> OutputRefused:
    return OutputRefused(f"'{path}' was changed by another program. Choose another name, or delete it.")


class ResultFile:
    """The rows of one command, as CSV, JSON Lines or Parquet by the file's ending.

    A context manager: leaving it without an exception marks the file as complete. Parquet files cannot grow, so their
    rows gather in JSON Lines beside them (`NAME.partial`), and become Parquet on leaving, after Ctrl-C as well.
    """

    def __init__(
        self,
        path: Path,
        columns: Columns,
        content: Mapping[str, Any],
        *,
        resume: bool | None,
        overwrite: bool = False,
        also: Sequence[Path] = (),
    ) -> None:
        """Begin the file, or, with `resume`, go on after the `rows` that it has; None: its command never does.

        With `overwrite`, what is finished, or has other settings, is begun anew. `also` are files beside it that are
        written before it is complete, and listed in its record.

        Raises:
            OutputRefused: something is there that must not be lost, or that was made with other settings.
        """
        self.path = path
        self.rows = 0
        """Complete rows in the file."""
        self._end = 0
        """Where they end, in bytes."""
        self._also = tuple(also)
        self._columns = columns
        self._parquet = path.suffix.lower() == ".parquet"
        self._journal = _journal_path(path)
        self._format: _Format = _Csv(columns) if path.suffix.lower() == ".csv" else _JsonLines()
        self._changes = Changes(path)
        if self._parquet:
            _require_pyarrow()
        program = content["program"]
        check_may_write(files_of(path), program, overwrite=overwrite, resume=resume)
        before = read_record(path)
        listed = (before or {}).get("files", {})  # Others of this command's stay so.
        self._content = {**content, "files": {**listed, **{one.name: None for one in (path, *self._also)}}}
        goes_on = bool(resume and before and (path.exists() or self._journal.exists()))
        if before and goes_on and (changed := _changed(before["settings"], content["settings"])):
            if not overwrite:
                raise OutputRefused(
                    f"'{path}' was begun with other settings: {changed}. Use those, or another name, or --overwrite to "
                    "begin anew."
                )
            check_may_write(files_of(path), program, overwrite=True)
            goes_on = False
        try:
            self._file = self._begin(goes_on)
        except OSError as error:
            raise OutputRefused(f"'{path}' cannot be written: {error.strerror}. Choose another place.") from None

    def _begin(self, goes_on: bool) -> FileIO:
        if not goes_on:
            # The old rows go before the new record comes: they must never pass for rows of this run.
            for file in (self.path, changes_path(self.path), stamps_path(self.path)):
                file.unlink(missing_ok=True)
            self._write_record(complete=False)
            self._journal.write_bytes(self._format.head)
        elif self._parquet and not self._journal.exists():
            self._journal.write_bytes(b"".join(map(self._format.encode, _read_parquet(self.path))))
        rows = self._open()
        self._write_record(complete=False)
        return rows

    def _write_record(self, *, complete: bool) -> None:
        write_record(self.path, {**self._content, "complete": complete})

    def _open(self) -> FileIO:
        """The file with its complete rows, at its end, after cutting off what a killed run left half written."""
        head = self._format.head
        with self._journal.open("rb") as begun:
            begin = begun.read(len(head))
        if not head.startswith(begin):
            raise _foreign(self.path)
        self._apply_changes()  # of a run that was killed before it did
        file = self._journal.open("r+b", buffering=0)
        file.write(head)
        self._end = len(head)
        self._count()
        self._cut(file)
        return file

    def _count(self) -> None:
        """Count the complete rows that are in the file after those that are counted."""
        for row in self._records(self._journal, self._end):
            self._end += len(row)
            self.rows += 1

    def _cut(self, file: FileIO) -> None:
        file.truncate(self._end)
        file.seek(self._end)

    def _records(self, path: Path, begin: int | None = None) -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(len(self._format.head) if begin is None else begin)
            yield from self._format.split(file)

    def kept(self, snapshot: Path | None = None) -> Iterator[Row]:
        """The rows in the file now, in order, as they were written; those changed by `replace` as they were before.

        With `snapshot`, they are read from a copy made there, and so do not change when `keep` cuts the file.
        """
        if snapshot is not None:
            shutil.copyfile(self._journal, snapshot)
        return map(self._decode, islice(self._records(snapshot or self._journal), self.rows))

    def _decode(self, record: bytes) -> Row:
        try:
            return self._format.decode(record)
        except ValueError:
            raise _foreign(self.path) from None

    def keep(self, rows: int) -> None:
        """Cut the file after its first `rows` rows."""
        self._end = len(self._format.head) + sum(map(len, islice(self._records(self._journal), rows)))
        self._cut(self._file)
        self.rows = rows

    def write(self, rows: Iterable[Row]) -> None:
        """Append `rows`, and have them in the file when this returns.

        Raises:
            OutputRefused: there is no room. The file ends in its last complete row.
        """
        encoded = [self._format.encode(row) for row in rows]
        data = memoryview(b"".join(encoded))
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            self._cut(self._file)
            raise _no_room(self.path, error) from None
        self._end += sum(map(len, encoded))
        self.rows += len(encoded)

    def replace(self, first: int, rows: Iterable[Row]) -> None:
        """Have `rows` stand for those in the file from number `first` on (from 0): each time after those before.

        They are safe when this returns, in a file beside, and get their place on leaving, or else with `resume`.

        Raises:
            OutputRefused: there is no room. None of `rows` counts.
        """
        try:
            self._changes.add(first, map(self._format.encode, rows))
        except OSError as error:
            raise _no_room(self.path, error) from None

    def _apply_changes(self) -> None:
        self._changes.apply(self._journal, self._format.head, self._records(self._journal))

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            _check_there(self._file, self._journal)
            self._count()  # Ctrl-C may have come when rows were written and not yet counted, ...
            self._cut(self._file)  # ... or in the middle of a row.
        finally:
            self._file.close()
        self._apply_changes()
        if self._parquet:
            rows = map(self._format.decode, self._records(self._journal))
            _write_parquet(self.path, self._columns, rows)
        if kind is None:
            self._content["files"] |= {one.name: digest(one) for one in (self.path, *self._also)}
            self._write_record(complete=True)
            if self._parquet:
                self._journal.unlink()


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """How the settings differ, in words; empty if they do not."""
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    return "; ".join(f"{name} was {before.get(name)}, and is {now.get(name)} now" for name in changed)


def _check_there(file: FileIO, path: Path) -> None:
    """Check that what was written to `file` is still at `path`."""
    try:
        there = os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        there = False
    if not there:
        raise OutputRefused(f"'{path}' was deleted or replaced while rows were written. Run it again.")


class _Csv:
    """RFC 4180 with plain line ends. Truth values are `true` and `false`, None is empty."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.head = self._line(columns)

    def encode(self, row: Row) -> bytes:
        values = (row[name] for name in self._columns)
        return self._line(str(value).lower() if isinstance(value, bool) else value for value in values)

    def decode(self, record: bytes) -> Row:
        (values,) = csv.reader(io.StringIO(record.decode(), newline=""))
        pairs = zip(self._columns.items(), values, strict=True)
        return {name: self._value(text, kind) for (name, kind), text in pairs}

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """The complete records from here on. A line end inside quotes is no end: there the quotes so far are odd."""
        record = b""
        for line in file:
            record += line
            if line.endswith(b"\n") and record.count(b'"') % 2 == 0:
                yield record
                record = b""

    @staticmethod
    def _value(text: str, kind: type) -> Any:
        """What was written as `text`. An empty one is None: no column has texts that may be empty."""
        if text == "":
            return None
        return {"true": True, "false": False}.get(text, text) if kind is bool else kind(text)

    @staticmethod
    def _line(values: Iterable[Any]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerow(values)  # Only so are names with \r in them quoted.
        return text.getvalue().removesuffix("\r\n").encode() + b"\n"


class _JsonLines:
    """One JSON object a line."""

    head = b""

    def encode(self, row: Row) -> bytes:
        return json.dumps(dict(row), ensure_ascii=False).encode() + b"\n"

    def decode(self, record: bytes) -> Row:
        row: Row = json.loads(record)
        return row

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """The complete records from here on."""
        return (line for line in file if line.endswith(b"\n"))


_Format = _Csv | _JsonLines


def _require_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise OutputRefused("Parquet needs the package pyarrow. Install it with: pip install 'afd-dedrift[parquet]'")


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def _write_parquet(path: Path, columns: Columns, rows: Iterator[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with atomic.file(path) as fresh, pyarrow.parquet.ParquetWriter(fresh, schema) as writer:
        while batch := list(islice(rows, 10_000)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema))
