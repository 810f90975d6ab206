"""A classifier on whatever runs it: torch itself, or a runtime for processors that compiles it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from afdcli.formats.exports import EXPORTS, ExportFormat, Run
from afdcli.models.description import Description

COMPILED = {"openvino": "openvino", "onnxruntime": "onnx"}
"""Engines that compile, the fastest first, and the row of `EXPORTS` that each reads."""


NO_NUMBER = "the network gives no number for it, so its weights are no good, or --precision is too low"
"""Why a photo has no class where a probability is NaN: finite weights may add up to more than there are numbers."""


def are_numbers(*answers: np.ndarray | None) -> np.ndarray:
    """Which of the images, the first axis of all `answers`, have finite numbers throughout, (B,) bool."""
    found = [np.isfinite(one).reshape(len(one), -1).all(1) for one in answers if one is not None]
    return np.asarray(np.stack(found).all(0))


def format_of(engine: str) -> ExportFormat:
    """The kind of file that `engine`, a key of `COMPILED`, reads."""
    return EXPORTS[COMPILED[engine]]


class Engine(Protocol):
    """A classifier, whatever runs it: a `DedriftedClassifier` in torch, or a `CompiledClassifier`."""

    @property
    def engine(self) -> str:
        """What runs it: `torch`, or a key of `COMPILED`."""

    @property
    def threads(self) -> int:
        """How many threads that predict at the same time keep the processor busy, see `ExportFormat.threads`."""

    @property
    def about(self) -> Description:
        """What the classifier is, apart from its network."""

    def predict_topk(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The `k` most probable classes of each image; all is as for `DedriftedClassifier.predict_topk`."""

    def added_parameters(self) -> int:
        """How many numbers the module has that were trained; 0 without a module."""

    def added_macs(self) -> int:
        """How many multiply-adds the module adds for one image; 0 without a module."""


@dataclass(frozen=True)
class CompiledClassifier:
    """A `DedriftedClassifier` in a runtime that compiles it: faster on a processor; in float32, equal to about 1e-6."""

    engine: str
    """What runs it, a key of `COMPILED`."""
    threads: int
    """How many threads that predict at the same time keep the processor busy, see `ExportFormat.threads`."""
    about: Description
    """What the classifier is, apart from its network."""
    parameters: int
    """How many numbers the module has that were trained; 0 without a module."""
    macs: int
    """How many multiply-adds the module adds for one image; 0 without a module."""
    run: Run
    """The compiled network: from the list of what `about.inputs` names to the list of what `about.outputs` names."""

    def predict_topk(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The `k` most probable classes of each image; all is as for `DedriftedClassifier.predict_topk`."""
        inputs = [pixels]
        if self.about.uses_quality:
            inputs.append(np.full(len(pixels), np.nan, np.float32) if quality is None else np.float32(quality))
        outputs = self.run(inputs)
        index = np.argsort(-outputs[0], axis=1, kind="stable")[:, :k]
        return index, np.take_along_axis(outputs[0], index, 1), outputs[1] if self.about.estimates_drift else None

    def added_parameters(self) -> int:
        """How many numbers the module has that were trained; 0 without a module."""
        return self.parameters

    def added_macs(self) -> int:
        """How many multiply-adds the module adds for one image; 0 without a module."""
        return self.macs
