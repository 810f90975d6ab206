"""Trained modules as files: safetensors that hold what was trained and nothing else, tied to the backbone it is for.

Nothing is ever unpickled. The metadata are texts: the method, its config, the tap, the backbone's name and fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from afdcli import atomic
from afdcli.errors import BadCheckpoint
from afdcli.formats.marks import PROGRAM_KEY
from afdcli.methods import METHODS
from afdcli.methods.finite import check_finite
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import Backbone

FORMAT = "afd-dedrift 1"


class ForeignCheckpoint(BadCheckpoint):
    """A safetensors file that is sound, and holds no module of afd."""


CHANGED = "backbone."
"""What the names of the backbone's tensors begin with, in a file."""


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
    write_tensors(path, {**checkpoint.module.state_dict(), **changed}, metadata)


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
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise BadCheckpoint(f"There is no file '{path}'.") from None
    except (OSError, SafetensorError) as error:
        raise BadCheckpoint(f"'{path}' cannot be read as safetensors: {error}. Get it again.") from None
    if metadata.get("format") != FORMAT:
        raise ForeignCheckpoint(f"'{path}' holds no module of afd. Whole backbones go to --backbone-checkpoint.")
    try:
        method = METHODS[metadata["method"]]
        module = method(method.Config(**json.loads(metadata["config"])))
        changed = {name.removeprefix(CHANGED): tensors.pop(name) for name in list(tensors) if name.startswith(CHANGED)}
        module.load_state_dict(tensors)
        checkpoint = Checkpoint(module.eval(), metadata["tap"], metadata["backbone"], metadata["fingerprint"], changed)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadCheckpoint(f"'{path}' was changed or is damaged: {str(error).splitlines()[0]}") from None
    check_finite({**module.state_dict(), **{CHANGED + name: value for name, value in changed.items()}}, path)
    return checkpoint


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
    if any(name not in own or own[name].shape != value.shape for name, value in checkpoint.changed.items()):
        raise BadCheckpoint(f"'{path}' was changed or is damaged: it has tensors that {backbone.name} has not.")
