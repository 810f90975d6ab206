"""Trained modules as files: safetensors that hold what was trained and nothing else, tied to the backbone it is for.

Nothing is ever unpickled. The metadata are texts: the method, its config, the tap, the backbone's name and fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from afdcli.errors import BadCheckpoint
from afdcli.formats.marks import PROGRAM_KEY
from afdcli.methods import METHODS
from afdcli.methods.finite import check_finite
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import Backbone
from afdcli.models.origin import Input
from afdcli.models.tensor_files import check_tensors, is_as_written, read_safetensors, write_tensors

FORMAT = "afd-dedrift 1"


class ForeignCheckpoint(BadCheckpoint):
    """A safetensors file that is sound, and holds no module of afd."""


CHANGED = "backbone."
"""What the names of the backbone's tensors begin with, in a file."""
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
    input: Input | None = None
    """What the backbone is fed with; None in files of before this was written down."""

    def trained(self, backbone: Backbone) -> Backbone:
        """`backbone` with what was trained of it as well: a copy, if there is anything."""
        if not self.changed:
            return backbone
        model = deepcopy(backbone.model)
        model.load_state_dict(self.changed, strict=False)
        return replace(backbone, model=model)


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
    if checkpoint.input is not None:
        metadata["input"] = json.dumps(checkpoint.input.to_json())
    changed = {CHANGED + name: value for name, value in checkpoint.changed.items()}
    tensors = {**checkpoint.module.state_dict(), **changed}
    write_tensors(path, tensors, metadata)


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
    as_written = is_as_written(tensors, metadata)
    try:
        changed = {name.removeprefix(CHANGED): tensors.pop(name) for name in list(tensors) if name.startswith(CHANGED)}
        module = _module(metadata["method"], metadata["config"], tensors)
        wanted = Input.from_json(json.loads(metadata["input"])) if "input" in metadata else None
        where = metadata["tap"], metadata["backbone"], metadata["fingerprint"]
        checkpoint = Checkpoint(module.eval(), *where, changed, wanted)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadCheckpoint(f"'{path}' was changed or is damaged: {reason[:200]}") from None
    check_finite({**module.state_dict(), **{CHANGED + name: value for name, value in changed.items()}}, path)
    if not as_written:
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
