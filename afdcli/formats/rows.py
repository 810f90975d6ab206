"""Formats that rows are written in: a row of `FORMATS` for each, by how its files end.

Rows gather as bytes that are appended, CSV or JSON Lines; `Csv` and `JsonLines` make them and read them again, with the
types of the columns. What cannot be appended to, as Parquet, is written whole from them in the end.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from afdcli import atomic
from afdcli.errors import OutputRefused

Row = Mapping[str, Any]
"""A value for each column: text, a whole number, a number, a truth value, or None."""
Columns = Mapping[str, type]
"""The columns in order, and what their values are: `str`, `int`, `float` or `bool`."""
BATCH = 10_000
"""So many rows are written to Parquet at a time: what memory holds of them."""


class Csv:
    """Rows as RFC 4180 has them, with plain line ends. Truth values are `true` and `false`, None is empty."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.head = self._line(columns)
        """The bytes that a file begins with."""

    def encode(self, row: Row) -> bytes:
        """The bytes of `row`, which has a value for each of the columns."""
        values = (row[name] for name in self._columns)
        return self._line(str(value).lower() if isinstance(value, bool) else value for value in values)

    def decode(self, record: bytes) -> Row:
        """The row that `encode` made `record` of, with the types of the columns.

        Raises:
            ValueError: no row of these columns has such bytes.
        """
        (values,) = csv.reader(io.StringIO(record.decode(), newline=""))
        pairs = zip(self._columns.items(), values, strict=True)
        return {name: self._value(text, kind) for (name, kind), text in pairs}

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """The complete records from here on. A line end inside quotes is no end: there the quotes so far are odd."""
        lines, quotes = list[bytes](), 0
        for line in file:
            lines.append(line)
            quotes += line.count(b'"')
            if line.endswith(b"\n") and quotes % 2 == 0:
                yield b"".join(lines)
                lines, quotes = [], 0

    @staticmethod
    def _value(text: str, kind: type) -> Any:
        """What was written as `text`. An empty one is None: no column has texts that may be empty."""
        if text == "":
            return None
        if kind is bool and text not in ("true", "false"):
            raise ValueError(text)
        return text == "true" if kind is bool else kind(text)

    @staticmethod
    def _line(values: Iterable[Any]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerow(values)  # Only so are names with \r in them quoted.
        return text.getvalue().removesuffix("\r\n").encode() + b"\n"


class JsonLines:
    """Rows as JSON objects, one a line."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.head = b""
        """The bytes that a file begins with."""

    def encode(self, row: Row) -> bytes:
        """The bytes of `row`; what is no finite number is null, because JSON has no other."""
        try:
            text = json.dumps(dict(row), ensure_ascii=False, allow_nan=False)
        except ValueError:
            numbers = {name: value for name, value in row.items() if isinstance(value, float)}
            unknown = dict.fromkeys(name for name, value in numbers.items() if not math.isfinite(value))
            text = json.dumps({**row, **unknown}, ensure_ascii=False)
        return text.encode() + b"\n"

    def decode(self, record: bytes) -> Row:
        """The row that `encode` made `record` of.

        Raises:
            ValueError: no row of these columns has such bytes.
        """
        row = json.loads(record)
        if not isinstance(row, dict) or row.keys() != self._columns.keys():
            raise ValueError(record)
        return row

    def split(self, file: BinaryIO) -> Iterator[bytes]:
        """The complete records from here on."""
        return (line for line in file if line.endswith(b"\n"))


Lines = Csv | JsonLines
"""How rows become bytes that are appended to a file, and rows again."""


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except Exception as error:  # what a file can raise that is damaged depends on where
        raise ValueError(f"no Parquet: {error}") from error


def _write_parquet(path: Path, columns: Columns, rows: Iterator[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with atomic.file(path) as fresh, pyarrow.parquet.ParquetWriter(fresh, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema))


@dataclass(frozen=True)
class Whole:
    """How a file is read and written that cannot be appended to."""

    read: Callable[[Path], Iterator[Row]]
    """Reads the rows of the file at a path, in order; raises `ValueError` if it is damaged."""
    write: Callable[[Path, Columns, Iterator[Row]], None]
    """Writes a file at a path, all of it or nothing, of columns and rows; raises `OutputRefused` if it cannot."""


@dataclass(frozen=True)
class RowFormat:
    """One kind of file of rows."""

    lines: Callable[[Columns], Lines]
    """Makes, for its columns, what turns a row into bytes and back while rows gather."""
    whole: Whole | None = None
    """How the file itself is written in the end, if it is another than the one in which rows gather."""
    package: str = ""
    """The package that it needs and that does not come with afd; empty if it needs none."""
    extra: str = ""
    """The extra of afd that installs it."""

    def require(self) -> None:
        """Check that files of this kind can be written here.

        Raises:
            OutputRefused: a package is missing; the sentence says how to install it.
        """
        if self.package and find_spec(self.package) is None:
            install = f"pip install 'afd-dedrift[{self.extra}]'"
            raise OutputRefused(
                f"{self.extra.capitalize()} needs the package {self.package}. Install it with: {install}"
            )


FORMATS: dict[str, RowFormat] = {
    ".csv": RowFormat(Csv),
    ".jsonl": RowFormat(JsonLines),
    ".parquet": RowFormat(JsonLines, Whole(_read_parquet, _write_parquet), "pyarrow", "parquet"),
}
"""How the names of files end, in lower case, and what is in them."""
