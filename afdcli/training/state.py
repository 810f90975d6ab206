"""What a training keeps as files: the best module, the last one, and the state that an interrupted run goes on from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from afdcli.errors import BadCheckpoint, TrainingStopped
from afdcli.formats.marks import PROGRAM_KEY
from afdcli.methods.finite import check_finite
from afdcli.models.checkpoint import load_checkpoint, save_checkpoint
from afdcli.models.tensor_files import is_as_written, read_safetensors, write_tensors
from afdcli.training.learner import Learner

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
MODEL_BEFORE: dict[str, Any] = {"size": 0, "ema": "auto", "label_names": None}
"""What runs did that were begun before there were these options, and of those of the classifier. A new one that decides
what comes out belongs here."""


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
    log: str = ""
    """The SHA-256 of the log of these steps; empty where that is not known."""


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
        "log": state.log,
    }
    write_tensors(path, state.tensors, metadata)


def load_state(path: Path, settings: Mapping[str, Any]) -> State:
    """The state that `save_state` wrote to `path`, to go on with under `settings`, which are returned with it.

    A lower learning rate is the one thing that may have changed: where training has come apart, it would again.

    Raises:
        BadCheckpoint: there is none, its tensors have NaN or infinity, or it was begun with other options.
    """
    try:
        metadata, tensors = read_safetensors(path)
        done, best = int(metadata["done"]), float(metadata["best"])
        then = json.loads(metadata["settings"])
        before = BEFORE | then
        if "model" in then:
            before["model"] = MODEL_BEFORE | then["model"]
        rate = float(before["learning_rate"])
    except (BadCheckpoint, KeyError, TypeError, ValueError, RecursionError):
        raise BadCheckpoint(f"There is no '{path}' that could be gone on with. Start without --resume.") from None
    check_finite(tensors, path)
    if not is_as_written(tensors, metadata):
        raise BadCheckpoint(f"'{path}' was changed or is damaged. Put back a copy, or start without --resume.")
    now = json.loads(json.dumps(settings, default=str))
    if now["learning_rate"] < rate:
        before["learning_rate"] = now["learning_rate"]
    if now != before:
        raise BadCheckpoint(
            f"'{path}' was begun with other options. Use those, or start without --resume. Only --learning-rate may be "
            "lower now."
        )
    return State(tensors, done, best, now, metadata.get("log", ""))


class Kept:
    """The files of one run beside its log, and how far they are."""

    def __init__(self, output: Path, settings: dict[str, Any]) -> None:
        """`output` is the best module's file; `settings` are the options that decide what comes out."""
        self.output, self.last, self.state = kept_files(output)
        self._settings = settings
        self._best = math.inf
        self.done = 0
        """How many steps a run would go on from."""
        self.log = ""
        """The SHA-256 of the log of these; empty where that is not known."""

    def save_state(self, learner: Learner, log: str) -> None:
        """Write what a run goes on from, all of it or nothing; `log` is the SHA-256 of its log so far."""
        save_state(State(learner.state(), learner.done, self._best, self._settings, log), self.state)
        self.done, self.log = learner.done, log

    def keep(self, learner: Learner, divergence: float | None, log: str) -> None:
        """Write the module as the last one, and as the best one if its `divergence` is the least; and the state.

        Without a `divergence`, as nothing was validated, it is not the best one.

        Raises:
            OutputRefused: one of them cannot be written.
        """
        save_checkpoint(learner.checkpoint(), self.last)
        if divergence is not None and divergence < self._best:
            self._best = divergence
            save_checkpoint(learner.checkpoint(), self.output)
        self.save_state(learner, log)

    def go_on(self, learner: Learner) -> dict[str, Any]:
        """Bring `learner` to where the interrupted run was; returns the settings that it goes on with.

        Raises:
            BadCheckpoint: there is nothing to go on from, see `load_state`, or it is damaged.
        """
        state = load_state(self.state, self._settings)
        try:
            learner.load(state.tensors, state.done)
        except (KeyError, ValueError, RuntimeError) as error:
            raise BadCheckpoint(f"'{self.state}' was changed or is damaged: {error}. Start without --resume.") from None
        self.done, self.log = state.done, state.log
        if self.output.exists() and not math.isnan(state.best):  # otherwise the next module is the best there is
            self._best = state.best
        return state.settings

    def check(self) -> None:
        """Check that there is something to show for a run at its end.

        Raises:
            TrainingStopped: the best module is not there, or not whole.
        """
        try:
            load_checkpoint(self.output)
        except BadCheckpoint as error:
            raise TrainingStopped(
                f"Training is at its end, but its best module is not there, or not whole: {error} The last one is "
                f"'{self.last}'; or train anew, without --resume."
            ) from None


def kept_files(output: Path) -> tuple[Path, Path, Path]:
    """The files of the best module, which is `output`, of the last one, and of the state."""
    return output, output.with_suffix(".last.safetensors"), output.with_suffix(".state.safetensors")
