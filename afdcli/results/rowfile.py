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
from dataclasses import asdict, is_dataclass
from importlib import metadata
from importlib.util import find_spec
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from afdcli.errors import OutputRefused
from afdcli.formats import codecs
from afdcli.options.fields import Options, flat

Row = Mapping[str, Any]
"""A value for each column: text, a whole number, a number, a truth value, or None."""
Columns = Mapping[str, type]
"""The columns in order, and what their values are."""


def record(program: str, settings: Mapping[str, Any], options: Options | None = None) -> dict[str, Any]:
    """What is written beside a result, so that it can be made again: all `options` of the command, by name.

    The `settings` are what decides the rows, and so whether the result can be resumed. Values may be of any type that
    has a text.
    """
    return {
        "program": program,
        "command": sys.argv,
        "options": json.loads(json.dumps({} if options is None else flat(options), default=_plain)),
        "settings": json.loads(json.dumps(settings, default=str)),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("afd-dedrift", "pillow", "torch", "timm")},
            **codecs.versions(),
        },
    }


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


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
    existing = [file for file in (path, _journal_path(path), _record_path(path)) if os.path.lexists(file)]
    if existing and (found is None or found["program"] != program):
        raise OutputRefused(f"'{existing[0]}' exists, and is not from {program}. Choose another name, or delete it.")
    check_writable(path)
    return found if existing != [_record_path(path)] else None


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
        if self._parquet:
            _require_pyarrow()
        found = check_replaceable(path, content["program"])
        if found is not None and resume:
            self._check_settings(found["settings"])
        elif found is not None and not found["complete"]:
            raise OutputRefused(
                f"'{path}' is from an interrupted run. Add --resume to go on, or delete it to start anew."
            )
        try:
            if found is None or not resume:
                # The old rows go before the new record comes: they must never pass for rows of this run.
                path.unlink(missing_ok=True)
                write_record(path, {**self._content, "complete": False})
                self._journal.write_bytes(self._format.head)
            elif self._parquet and not self._journal.exists():
                self._journal.write_bytes(b"".join(map(self._format.encode, _read_parquet(path))))
            self._file = self._open()
            write_record(path, {**self._content, "complete": False})
        except OSError as error:
            raise OutputRefused(f"'{path}' cannot be written: {error.strerror}. Choose another place.") from None

    def _check_settings(self, before: Mapping[str, Any]) -> None:
        now = self._content["settings"]
        changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        if changed:
            differences = "; ".join(f"{name} was {before.get(name)}, and is {now.get(name)} now" for name in changed)
            raise OutputRefused(
                f"'{self.path}' was begun with other settings: {differences}. Use those, or another name."
            )

    def _open(self) -> FileIO:
        """The file with its complete rows, at its end, after cutting off what a killed run left half written."""
        file = self._journal.open("r+b", buffering=0)
        head = self._format.head
        begin = file.read(len(head))
        if not head.startswith(begin):
            raise OutputRefused(f"'{self.path}' was changed by another program. Choose another name, or delete it.")
        file.write(head[len(begin) :])
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
        """The rows in the file now, in order; their values may be text.

        With `snapshot`, they are read from a copy made there, and so do not change when `keep` cuts the file.
        """
        if snapshot is not None:
            shutil.copyfile(self._journal, snapshot)
        return map(self._format.decode, islice(self._records(snapshot or self._journal), self.rows))

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
            raise OutputRefused(
                f"'{self.path}' cannot be written: {error.strerror}. What it holds is right: mend that, and --resume."
            ) from None
        self._end += sum(map(len, encoded))
        self.rows += len(encoded)

    def __enter__(self) -> ResultFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._count()  # Ctrl-C may have come when rows were written and not yet counted, ...
        self._cut(self._file)  # ... or in the middle of a row.
        self._file.close()
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
        self._names = tuple(columns)
        self.head = self._line(self._names)

    def encode(self, row: Row) -> bytes:
        values = (row[name] for name in self._names)
        return self._line(str(value).lower() if isinstance(value, bool) else value for value in values)

    def decode(self, record: bytes) -> Row:
        (values,) = csv.reader(io.StringIO(record.decode(), newline=""))
        return dict(zip(self._names, values, strict=True))

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """The complete records from here on. A line end inside quotes is no end: there the quotes so far are odd."""
        record = b""
        for line in file:
            record += line
            if line.endswith(b"\n") and record.count(b'"') % 2 == 0:
                yield record
                record = b""

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
