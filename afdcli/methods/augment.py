"""Augmentation, the baseline that papers on compressed images argue against: the backbone itself is trained, with
compressed images as plain new samples. Without labels, the untouched backbone's prediction for the original is the
target, for the original as for its compressed copy.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from afdcli.methods.remedy import Batch, Network, Remedy, misprediction
from afdcli.options import TrainOptions


@dataclass(frozen=True)
class AugmentConfig:
    """Nothing is put into the backbone."""


class Augmentation(Remedy):
    """The backbone alone, trained."""

    method = "augment"
    Config = AugmentConfig
    trains_backbone = True

    def __init__(self, config: AugmentConfig) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def build(cls, options: TrainOptions, channels: int, blocks: tuple[int, ...]) -> Augmentation:
        """See `Remedy`."""
        return cls(AugmentConfig())

    def losses(self, student: Network, teacher: Network, batch: Batch) -> dict[str, Tensor]:
        """How far the predictions for both are from the labels, or from what the original's were."""
        with torch.no_grad():
            target = teacher.outputs(batch.original).logits
        raw, compressed = (student.outputs(images).logits for images in (batch.original, batch.degraded))
        return {"logit": (misprediction(raw, batch, target) + misprediction(compressed, batch, target)) / 2}
