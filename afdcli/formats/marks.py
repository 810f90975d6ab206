"""What afd writes into files so that it knows them again: which command made them.

Formats that have room for a text carry it inside. Rows have a record beside them instead, see `record`. Everything here
reads with the standard library (ONNX needs its own package) and takes a file of any content.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from afdcli.formats.exports import METADATA

EXPORT = "afd export"
PROGRAM_KEY = "program"
"""The key in the metadata of safetensors."""
PNG_KEY = "Software"
"""The keyword of the text in pictures, one of those that the PNG specification names."""

_MOST = 100_000_000
"""No text or header of ours has so many bytes."""


def read_mark(path: Path) -> str | None:
    """The command, such as `afd train`, that the file at `path` says it was written by; None if it says nothing."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        return None
    try:
        return reader(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, RuntimeError):
        return None  # whatever else it is, it is no file of afd's
    except (struct.error, zipfile.BadZipFile, ElementTree.ParseError):
        return None


def _read_png(path: Path) -> str | None:
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return None
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind == b"tEXt" and size < _MOST:
                keyword, _, text = file.read(size).partition(b"\0")
                if keyword.decode("latin-1") == PNG_KEY:
                    return text.decode("latin-1")
                size = 0
            file.seek(size + 4, 1)
    return None


def _read_safetensors(path: Path) -> str | None:
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > _MOST:
            return None
        metadata = json.loads(file.read(size))["__metadata__"]
    if PROGRAM_KEY in metadata:
        return str(metadata[PROGRAM_KEY])
    # Of before there were marks: modules, and the state of a training.
    if str(metadata.get("format")).startswith("afd-dedrift"):
        return "afd fuse" if json.loads(metadata["config"]).get("folded") else "afd train"
    return "afd train" if metadata.keys() == {"settings", "done", "best"} else None


def _read_onnx(path: Path) -> str | None:
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # protobuf's own, which has no public name
        return None
    return EXPORT if any(one.key == METADATA for one in model.metadata_props) else None


def _read_openvino(path: Path) -> str | None:
    return EXPORT if ElementTree.parse(path).find(f"rt_info/{METADATA}") is not None else None


def _read_weights(path: Path) -> str | None:
    """OpenVINO's weights have no room for a text: they are those of the network beside them, of just that size."""
    network = path.with_suffix(".xml")
    if _read_openvino(network) is None:
        return None
    places = [one.attrib for one in ElementTree.parse(network).iter("data") if "offset" in one.attrib]
    size = max(int(one["offset"]) + int(one["size"]) for one in places)
    return EXPORT if size == path.stat().st_size else None


def _read_pt2(path: Path) -> str | None:
    with zipfile.ZipFile(path) as file:
        return EXPORT if any(name.endswith(f"extra/{METADATA}.json") for name in file.namelist()) else None


_READERS: dict[str, Callable[[Path], str | None]] = {
    ".png": _read_png,
    ".safetensors": _read_safetensors,
    ".onnx": _read_onnx,
    ".xml": _read_openvino,
    ".bin": _read_weights,
    ".pt2": _read_pt2,
}
