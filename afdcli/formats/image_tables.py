"""Parquet files with a column of images, as Hugging Face's datasets library writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from afdcli.errors import UnreadableImage
from afdcli.formats.members import Member

ROWS = 16
"""Rows whose bytes are read at a time."""
BUFFER = 1 << 20
"""Bytes that are read of a column at a time, so that no group of rows has to be in memory."""
_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "photo")
_LABELS = ("label", "labels", "class", "cls", "target")


def members(file: BinaryIO) -> Iterator[Member]:
    """Each row, in order, called by the path that its image has, or else by its number."""
    try:
        table = _open(file)
        image, label, names = _columns(table)
    except UnreadableImage as error:
        yield Member("", error=str(error))
        return
    first = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        yield from _rows(table, group, first, count, image, label, names)
        first += count


def read(file: BinaryIO, place: str) -> bytes:
    """The bytes of the image at `place`.

    Raises:
        UnreadableImage: it is damaged, or has none.
    """
    group, row, image = place.split(" ", 2)
    try:
        column = _open(file).read_row_group(int(group), columns=[image]).column(0)
        return _bytes_of(column[int(row)].as_py())
    except UnreadableImage:
        raise
    except Exception:
        raise UnreadableImage("damaged in its table: it cannot be read") from None


def _open(file: BinaryIO) -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UnreadableImage("a Parquet file, which needs: pip install 'afd-dedrift[parquet]'") from None
    try:
        return pyarrow.parquet.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
    except Exception:
        raise UnreadableImage("not a Parquet file, or cut off: its directory is at its end") from None


def _columns(table: Any) -> tuple[str, str | None, list[str] | None]:
    """The names of the columns of images and of classes, and what the numbers in the latter stand for."""
    schema = table.schema_arrow
    features = _features(schema.metadata or {})
    kinds = {name: str(schema.field(name).type) for name in schema.names}
    packed = [name for name, kind in kinds.items() if kind.startswith("struct<") and "bytes: " in kind]
    plain = [name for name in _IMAGES if kinds.get(name) in ("binary", "large_binary")]
    declared = [name for name, one in features.items() if one.get("_type") == "Image" and name in kinds]
    images = [name for name in (*declared, *packed, *plain) if name in packed or "binary" in kinds[name]]
    if not images:
        raise UnreadableImage("a Parquet file without a column of images, each with its bytes")
    classes = [name for name, one in features.items() if one.get("_type") == "ClassLabel" and name in kinds]
    label = next((name for name in (*classes, *_LABELS) if name in kinds), None)
    names = features.get(label or "", {}).get("names")
    return images[0], label, names if isinstance(names, list) else None


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What the datasets library says of each column."""
    try:
        found = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: one for name, one in found.items() if isinstance(one, dict)}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _rows(
    table: Any, group: int, first: int, count: int, image: str, label: str | None, names: list[str] | None
) -> Iterator[Member]:
    paths, labels = _column(table, group, count, image, "path"), [None] * count
    if label is not None:
        labels = _column(table, group, count, label)
    data = _Bytes(table, group, image)
    for row in range(count):
        value = labels[row]
        if names is not None and isinstance(value, int) and 0 <= value < len(names):
            value = names[value]
        yield Member(
            str(paths[row] or f"{first + row:06}"),
            f"{group} {row} {image}",
            lambda size, row=row: data.of(row)[:size],  # type: ignore[misc]
            lambda row=row: data.of(row),  # type: ignore[misc]
            label=None if value is None else str(value),
            is_photo=True,
        )


def _column(table: Any, group: int, count: int, column: str, field: str = "") -> list[Any]:
    """The values of a group of rows in a small column, or in a field of one; None where there are none."""
    try:
        kind = table.schema_arrow.field(column).type
        if field and (not str(kind).startswith("struct<") or kind.get_field_index(field) < 0):
            return [None] * count
        found = table.read_row_group(group, columns=[f"{column}.{field}" if field else column]).column(0).to_pylist()
        return [one[field] if one else None for one in found] if field else found
    except Exception:  # The row's image tells what is wrong.
        return [None] * count


class _Bytes:
    """The images of a group of rows, gone through in order, a few at a time."""

    def __init__(self, table: Any, group: int, image: str) -> None:
        self._batches = table.iter_batches(batch_size=ROWS, row_groups=[group], columns=[image])
        self._batch: Any = ()
        self._first = 0

    def of(self, row: int) -> bytes:
        """The bytes of the image in `row`, which comes after those asked for before.

        Raises:
            UnreadableImage: there are none, or they are damaged.
        """
        try:
            while row >= self._first + len(self._batch):
                self._first += len(self._batch)
                self._batch = next(self._batches)
            return _bytes_of(self._batch.column(0)[row - self._first].as_py())
        except UnreadableImage:
            raise
        except (Exception, StopIteration):
            raise UnreadableImage("damaged in its table: it cannot be read") from None


def _bytes_of(value: Any) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not data:
        path = value.get("path") if isinstance(value, dict) else None
        raise UnreadableImage(
            f"its table has only its path, '{path}'" if path else "its table has no image in this row"
        )
    return bytes(data)
