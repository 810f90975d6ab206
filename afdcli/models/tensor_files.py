"""Files of tensors, from anybody: read without running code in them, and without believing what they say of their size.

Pickles are read with torch's `weights_only`, which takes tensors and plain values alone, and of safetensors the header
is no longer than any that is meant.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from afdcli import atomic
from afdcli.errors import BadCheckpoint

LARGEST_HEADER = 16 << 20
"""Bytes of a safetensors file's header: the names of 100,000 tensors, or of 21,000 classes, take half as many."""
ENDING = ".safetensors"
CHECKSUM = "sha256"
"""The key, in the metadata of files that afd writes, of the SHA-256 of all the rest. Older ones have none."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors`, by name, and the texts of `metadata` to a safetensors file at `path`, all of it or nothing.

    Raises:
        OutputRefused: it cannot be written.
    """
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic.file(path) as fresh:
        fresh.write_bytes(save(plain, {**metadata, CHECKSUM: _checksum(tensors, metadata)}))


def is_as_written(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bool:
    """Whether a file of afd's has the `tensors` and `metadata` that it was written with, as far as it says."""
    expected = metadata.get(CHECKSUM)
    return expected is None or expected == _checksum(tensors, metadata)


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    found = hashlib.sha256(json.dumps(sorted((key, metadata[key]) for key in metadata if key != CHECKSUM)).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The texts in the metadata of the safetensors file at `path`, and its tensors, both by name.

    Raises:
        BadCheckpoint: there is no such file, or it is truncated, damaged, or no safetensors.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
        if length > LARGEST_HEADER:
            raise ValueError(f"its header would have {length:,} bytes, and none has more than {LARGEST_HEADER:,}")
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, tensors
    except FileNotFoundError:
        raise BadCheckpoint(f"There is no file '{path}'.") from None
    except Exception as error:  # The library has an error of its own, and raises several more on foreign files.
        raise BadCheckpoint(f"'{path}' cannot be read as safetensors: {_first_line(error)}. Get it again.") from None


def read_pickle(path: Path) -> Any:
    """What the file at `path` holds that `torch.save` wrote: tensors and plain values, `argparse.Namespace` among them.

    Raises:
        BadCheckpoint: there is no such file, or it is truncated, damaged, no file of torch, or has code in it.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm's and torchvision's own train.py write it
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadCheckpoint(f"There is no file '{path}'.") from None
    except OSError as error:
        raise BadCheckpoint(f"'{path}' cannot be read as weights: {_first_line(error)}.") from None
    except Exception as error:  # torch raises pickle's own errors, and several more, on foreign files.
        if code := _code_in(path):
            raise BadCheckpoint(
                f"'{path}' has code in it ({code}), which is never run. Where it is known, read it and write the "
                "tensors alone: torch.save(model.state_dict(), FILE)."
            ) from error
        raise BadCheckpoint(f"'{path}' is no file of weights, or is damaged, or has code in it, never run.") from error


def _code_in(path: Path) -> str:
    """The names of what would have to be run to read the pickle at `path`, the first three; empty if not known."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # of the old format, or no pickle at all
        return ""
    return ", ".join(sorted(set(found) - {"argparse.Namespace"})[:3])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def check_tensors(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> None:
    """Check that each of `tensors`, from a file, can stand for that of its name in `like`: same shape, same kind.

    Whole numbers are no weights: they would be the codes of a quantised network, or damage.

    Raises:
        ValueError: one cannot; the text names it.
    """
    for name, tensor in tensors.items():
        own = like[name]
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise ValueError(f"its tensor '{name}' is in a form that is not supported")
        if tensor.shape != own.shape:
            raise ValueError(f"some shapes differ, '{name}' first, which is {_shape(tensor)} and not {_shape(own)}")
        if tensor.dtype.is_floating_point != own.dtype.is_floating_point or tensor.is_complex():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"its tensor '{name}' has numbers of another kind, {kind}")


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def is_stored(tensor: Tensor) -> bool:
    """Whether all numbers of `tensor` are in its file, each one: a view of one number can claim to be as many."""
    if tensor.layout is not torch.strided:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
