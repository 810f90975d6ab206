"""Shards that copies are packed into, a row for each kind: what writes one, always with the same bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

ROWS = 100
"""Rows of a Parquet file that are read together: whoever wants one photo has to read so many."""


class Shard(Protocol):
    """A shard that is being written."""

    def add(self, name: str, data: bytes, label: str | None, beside: list[tuple[str, bytes]]) -> None:
        """Add a photo: its name, its bytes, its class, and the names and bytes of what lies beside it."""

    def close(self) -> None:
        """Write what ends the file."""


class TarShard:
    """As WebDataset reads it. Times, owners and rights are the same in each, so that the bytes are."""

    def __init__(self, file: BinaryIO) -> None:
        self._tar = tarfile.TarFile(
            fileobj=file, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
        )

    def add(self, name: str, data: bytes, label: str | None, beside: list[tuple[str, bytes]]) -> None:
        """The photo, and then what lies beside it, which says its class."""
        for member, content in ((name, data), *beside):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            self._tar.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        """Write the end mark."""
        self._tar.close()


class TableShard:
    """As Hugging Face's datasets library reads it: a column of images, with bytes and path, and one of classes."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow
        import pyarrow.parquet

        self._pyarrow = pyarrow
        image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        features = {"image": {"_type": "Image"}, "label": {"dtype": "string", "_type": "Value"}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        self._schema = pyarrow.schema([("image", image), ("label", pyarrow.string())], metadata)
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema, compression="none")
        self._rows: list[dict[str, Any]] = []

    def add(self, name: str, data: bytes, label: str | None, beside: list[tuple[str, bytes]]) -> None:
        """A row; of what lies beside the photo, it has the class."""
        path = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self._rows.append({"image": {"bytes": data, "path": path}, "label": label})
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._pyarrow.Table.from_pylist(self._rows, self._schema), row_group_size=ROWS)
        self._rows = []

    def close(self) -> None:
        """Write the last rows and the directory."""
        self._flush()
        self._writer.close()


@dataclass(frozen=True)
class ShardKind:
    """One kind of shard."""

    ending: str
    """How its files end."""
    begin: Callable[[BinaryIO], Shard]
    """Begins one in a file, which stays open."""
    package: str = ""
    """What it needs that does not come with afd."""
    has_beside: bool = True
    """Whether it takes what lies beside photos as it is."""


SHARDS = {
    "wds": ShardKind(".tar", TarShard),
    "parquet": ShardKind(".parquet", TableShard, "pyarrow", has_beside=False),
}
"""The kinds of shards, by the names that `--to` takes."""
