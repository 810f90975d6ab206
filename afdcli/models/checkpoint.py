"""Trained modules as files: safetensors that hold what was trained and nothing else, tied to the backbone it is for.

Nothing is ever unpickled. The metadata are texts: the method, its config, the tap, the backbone's name and fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import torch
from safetensors.torch import save
from torch import Tensor

from afdcli import atomic
from afdcli.errors import BadCheckpoint
from afdcli.formats.marks import PROGRAM_KEY
from afdcli.methods import METHODS
from afdcli.methods.finite import check_finite
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import Backbone
from afdcli.models.state_dicts import fingerprint
from afdcli.models.tensor_files import check_tensors, read_safetensors

FORMAT = "afd-dedrift 1"


class ForeignCheckpoint(BadCheckpoint):
    """A safetensors file that is sound, and holds no module of afd."""


CHANGED = "backbone."
"""What the names of the backbone's tensors begin with, in a file."""
DIGEST = "sha256"
"""The key, in the metadata, of the SHA-256 of all the rest of a file. Files of before there was one have none."""
LARGEST, LONGEST = 1 << 16, 1 << 9
"""No number in a module's config is larger, and no list in it longer: what it takes to build one is known by then."""


@dataclass(frozen=True)
class Checkpoint:
    """A module that was trained, and the place in the backbone where it belongs."""

    module: Remedy
    """The module itself, in evaluation mode where it was read from a file."""
    tap: str
    """Where in the backbone the module goes, see `models.taps`."""
    backbone: str
    """timm's name of the backbone that the module was trained for."""
    fingerprint: str
    """The SHA-256 of the backbone's weights, see `Backbone.fingerprint`."""
    changed: Mapping[str, Tensor] = field(default_factory=dict)
    """The backbone's tensors that were trained as well, by their names in it."""


def save_checkpoint(checkpoint: Checkpoint, path: Path, program: str = "afd train") -> None:
    """Write `checkpoint` to `path`, all of it or nothing; `program` is the command that does so, see `marks`."""
    metadata = {
        PROGRAM_KEY: program,
        "format": FORMAT,
        "method": checkpoint.module.method,
        "config": json.dumps(asdict(checkpoint.module.config)),
        "tap": checkpoint.tap,
        "backbone": checkpoint.backbone,
        "fingerprint": checkpoint.fingerprint,
    }
    changed = {CHANGED + name: value for name, value in checkpoint.changed.items()}
    tensors = {**checkpoint.module.state_dict(), **changed}
    write_tensors(path, tensors, {**metadata, DIGEST: _digest(metadata, tensors)})


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    texts = json.dumps(sorted((key, text) for key, text in metadata.items() if key != DIGEST))
    plain = {name: tensors[name].detach().cpu().reshape(-1).view(torch.uint8) for name in sorted(tensors)}
    return fingerprint({texts: torch.zeros(0), **plain})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write `tensors`, by name, and the texts of `metadata` to a safetensors file at `path`, all of it or nothing."""
    with atomic.file(path) as fresh:
        fresh.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint that `save_checkpoint` wrote to `path`.

    Raises:
        ForeignCheckpoint: the file holds no module of afd.
        BadCheckpoint: the file is not there, or truncated, or its tensors are not those of its config, or have NaN or
            infinity.
    """
    metadata, tensors = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise ForeignCheckpoint(f"'{path}' holds no module of afd. Whole backbones go to --backbone-checkpoint.")
    digest = _digest(metadata, tensors) if DIGEST in metadata else None
    try:
        changed = {name.removeprefix(CHANGED): tensors.pop(name) for name in list(tensors) if name.startswith(CHANGED)}
        module = _module(metadata["method"], metadata["config"], tensors)
        checkpoint = Checkpoint(module.eval(), metadata["tap"], metadata["backbone"], metadata["fingerprint"], changed)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadCheckpoint(f"'{path}' was changed or is damaged: {reason[:200]}") from None
    check_finite({**module.state_dict(), **{CHANGED + name: value for name, value in changed.items()}}, path)
    if digest != metadata.get(DIGEST):
        raise BadCheckpoint(f"'{path}' was changed or is damaged: its content is not what was written. Get it again.")
    return checkpoint


def _module(method: str, text: str, tensors: Mapping[str, Tensor]) -> Remedy:
    """The module of `method` with `tensors`, its config read from `text`.

    Nothing is believed of what the config says of sizes: they are first compared with those of the tensors.

    Raises:
        KeyError, TypeError, ValueError, RuntimeError, ArithmeticError: they do not go together.
    """
    kind = METHODS[method]
    content = json.loads(text)
    if not isinstance(content, dict):
        raise TypeError("its config is no object of JSON")
    hints = get_type_hints(kind.Config)
    for name, value in content.items():
        _check_value(name, value, hints[name])
    config = kind.Config(**content)
    with torch.device("meta"):
        expected = kind(config).state_dict()
    if wrong := sorted(expected.keys() ^ tensors.keys()):
        raise ValueError(f"{len(wrong)} tensors are missing or unknown, {wrong[0]} first")
    check_tensors(tensors, expected)
    module = kind(config)
    module.load_state_dict(tensors)
    return module


def _check_value(name: str, value: Any, kind: Any) -> None:
    several = value if isinstance(value, list) else [value]
    if isinstance(value, list) == (kind in (int, bool, str)) or len(several) > LONGEST:
        raise ValueError(f"its {name} cannot be so many")
    for one in several:
        if type(one) is not (kind if kind in (int, bool, str) else int):
            raise TypeError(f"its {name} is of another kind")
        if type(one) is int and not 0 <= one <= LARGEST:
            raise ValueError(f"its {name} cannot be {one:.6g}")


def check_backbone(checkpoint: Checkpoint, backbone: Backbone, path: Path) -> None:
    """Check that `checkpoint`, from `path`, was trained for just this backbone.

    Raises:
        BadCheckpoint: the checkpoint is for another backbone, or for other weights of this one.
    """
    if checkpoint.backbone != backbone.name:
        raise BadCheckpoint(f"'{path}' is for {checkpoint.backbone}, not {backbone.name}. Add --backbone.")
    if checkpoint.fingerprint != backbone.fingerprint:
        raise BadCheckpoint(
            f"'{path}' is for other weights of {backbone.name} than these. Check --backbone-checkpoint."
        )
    own = backbone.model.state_dict()
    if not checkpoint.changed.keys() <= own.keys():
        raise BadCheckpoint(f"'{path}' was changed or is damaged: it has tensors that {backbone.name} has not.")
    try:
        check_tensors(checkpoint.changed, own)
    except ValueError as error:
        raise BadCheckpoint(f"'{path}' was changed or is damaged: {error}.") from None
