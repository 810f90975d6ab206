"""What an interrupted training goes on from, as a file: the learner's tensors, how far it was, and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from afdcli.errors import BadCheckpoint
from afdcli.formats.marks import PROGRAM_KEY
from afdcli.methods.finite import check_finite
from afdcli.models.checkpoint import write_tensors

PROGRAM = "afd train"
BEFORE: dict[str, Any] = {
    "narrow": False,
    "shares": [],
    "least_crop": 0,
    "estimator": "paper",
    "drift_weight": 1.0,
    "pixel_weight": 1.0,
    "quality_weight": 1.0,
}
"""What runs did that were begun before there were these options. A new one that decides what comes out belongs here."""


@dataclass(frozen=True)
class State:
    """A run, after some steps."""

    tensors: dict[str, Tensor]
    """The tensors of `Learner.state`."""
    done: int
    """How many steps were done."""
    best: float
    """The divergence of the best module so far, in nats; infinite if there is none."""
    settings: dict[str, Any]
    """The options that decide what comes out, as JSON has them."""


def save_state(state: State, path: Path) -> None:
    """Write `state` to `path`, all of it or nothing.

    Raises:
        OutputRefused: it cannot be written.
    """
    metadata = {
        PROGRAM_KEY: PROGRAM,
        "settings": json.dumps(state.settings, default=str),
        "done": str(state.done),
        "best": repr(state.best),
    }
    write_tensors(path, state.tensors, metadata)


def load_state(path: Path, settings: Mapping[str, Any]) -> State:
    """The state that `save_state` wrote to `path`, to go on with under `settings`, which are returned with it.

    A lower learning rate is the one thing that may have changed: where training has come apart, it would again.

    Raises:
        BadCheckpoint: there is none, its tensors have NaN or infinity, or it was begun with other options.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        done, best = int(metadata["done"]), float(metadata["best"])
        before = BEFORE | json.loads(metadata["settings"])
    except (OSError, SafetensorError, KeyError, ValueError):
        raise BadCheckpoint(f"There is no '{path}' that could be gone on with. Start without --resume.") from None
    now = json.loads(json.dumps(settings, default=str))
    if now["learning_rate"] < before.get("learning_rate", 0):
        before["learning_rate"] = now["learning_rate"]
    if now != before:
        raise BadCheckpoint(
            f"'{path}' was begun with other options. Use those, or start without --resume. Only --learning-rate may be "
            "lower now."
        )
    check_finite(tensors, path)
    return State(tensors, done, best, now)
