"""Rows in a file that is valid at every moment, survives being killed, and can be gone on with.

Beside `predictions.csv` lies its record, `predictions.csv.json`: the settings, the versions, and whether the file is
complete. It is how a file is known to be afd's own, and what `--resume` compares.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from afdcli.changes import Changes, changes_path, replace_file
from afdcli.errors import OutputRefused
from afdcli.formats import codecs
from afdcli.stamps import stamps_path

Row = Mapping[str, Any]
"""A value for each column: text, a whole number, a number, a truth value, or None."""
Columns = Mapping[str, type]
"""The columns in order, and what their values are."""


def record(program: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is written beside a result, so that it can be made again. `settings` decide whether it can be resumed.

    They may be of any type that has a text.
    """
    return {
        "program": program,
        "command": sys.argv,
        "settings": json.loads(json.dumps(settings, default=str)),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("afd-dedrift", "pillow", "torch", "timm")},
            **codecs.versions(),
        },
    }


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write the record of the result at `path`, all of it or nothing."""
    beside = _record_path(path)
    partial = beside.with_name(beside.name + ".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(beside)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record of the result at `path`; None where there is none that afd wrote."""
    try:
        content = json.loads(_record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and str(content.get("program")).startswith("afd ") else None


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def check_replaceable(path: Path, program: str) -> dict[str, Any] | None:
    """The record of what `program` wrote to `path` before; None if nothing is there.

    Raises:
        OutputRefused: something else is there, or `path` cannot be written.
    """
    found = read_record(path)
    rows, beside = (path, _journal_path(path)), (_record_path(path), stamps_path(path), changes_path(path))
    existing = [file for file in (*rows, *beside) if os.path.lexists(file)]
    if existing and (found is None or found["program"] != program):
        raise OutputRefused(f"'{existing[0]}' exists, and is not from {program}. Choose another name, or delete it.")
    check_writable(path)
    return found if any(map(os.path.lexists, rows)) else None


def check_writable(path: Path) -> None:
    """Check, before any work is done, that a file can be written to `path`.

    Raises:
        OutputRefused: it cannot.
    """
    try:
        if not path.parent.is_dir():
            raise OutputRefused(f"There is no folder '{path.parent}' to write '{path.name}' to. Make it first.")
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise OutputRefused(f"'{path}' cannot be written: no permission. Choose another place.")
    except OSError as error:
        raise OutputRefused(f"'{path}' cannot be written: {error.strerror}. Choose another place.") from None


def _journal_path(path: Path) -> Path:
    """Where the rows of the result at `path` gather: in itself, if its format can grow."""
    return path.with_name(path.name + ".partial") if path.suffix.lower() == ".parquet" else path


def _check_settings(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    if changed:
        differences = "; ".join(f"{name} was {before.get(name)}, and is {now.get(name)} now" for name in changed)
        raise OutputRefused(f"'{path}' was begun with other settings: {differences}. Use those, or another name.")


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

    def __init__(self, path: Path, columns: Columns, content: Mapping[str, Any], *, resume: bool) -> None:
        """Begin the file, or, with `resume`, go on after the `rows` that it has.

        Raises:
            OutputRefused: something is there that must not be lost, or that was made with other settings.
        """
        self.path = path
        self.rows = 0
        """Complete rows in the file."""
        self._end = 0
        """Where they end, in bytes."""
        self._content = dict(content)
        self._columns = columns
        self._parquet = path.suffix.lower() == ".parquet"
        self._journal = _journal_path(path)
        self._format: _Format = _Csv(columns) if path.suffix.lower() == ".csv" else _JsonLines()
        self._changes = Changes(path)
        if self._parquet:
            _require_pyarrow()
        found = check_replaceable(path, content["program"])
        if found is not None and resume:
            _check_settings(path, found["settings"], content["settings"])
        elif found is not None and not found["complete"]:
            raise OutputRefused(
                f"'{path}' is from an interrupted run. Add --resume to go on, or delete it to start anew."
            )
        try:
            if found is None or not resume:
                # The old rows go before the new record comes: they must never pass for rows of this run.
                for file in (path, changes_path(path), stamps_path(path)):
                    file.unlink(missing_ok=True)
                write_record(path, {**self._content, "complete": False})
                self._journal.write_bytes(self._format.head)
            elif self._parquet and not self._journal.exists():
                replace_file(self._journal, map(self._format.encode, _read_parquet(path)))
            self._file = self._open()
            write_record(path, {**self._content, "complete": False})
        except OSError as error:
            raise OutputRefused(f"'{path}' cannot be written: {error.strerror}. Choose another place.") from None

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
        for record in self._records(self._journal, self._end):
            self._end += len(record)
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
        self._count()  # Ctrl-C may have come when rows were written and not yet counted, ...
        self._cut(self._file)  # ... or in the middle of a row.
        self._file.close()
        try:
            self._apply_changes()
        except OSError as error:
            raise _no_room(self.path, error) from None
        if self._parquet:
            rows = map(self._format.decode, self._records(self._journal))
            _write_parquet(self.path, self._columns, rows)
        if kind is None:
            write_record(self.path, {**self._content, "complete": True})
            if self._parquet:
                self._journal.unlink()


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
    partial = path.with_name(path.name + ".writing")
    with pyarrow.parquet.ParquetWriter(partial, schema) as writer:
        while batch := list(islice(rows, 10_000)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema))
    partial.replace(path)
