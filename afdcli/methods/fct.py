"""Implementation of "Feature Consistency Training With JPEG Compressed Images"
(Wan, Wu, Hsu, Wong, Lee; IEEE TCSVT 30(12), 2020).

The backbone itself is trained: original and compressed image go through it, and the distance between their features,
in all layers after the tap, is part of the loss. A residual mapping block at the tap is told the compressed image's
quality factor, and adds what takes the remaining distortion away.

Implemented: the consistency, and the residual mapping block. Different from the paper: what the block adds grows with
what the quality factor says is lost, from nothing at 100; without labels, the untouched
backbone's prediction for the original stands for them; and where the quality factor is not known, because the file is
no JPEG, it is estimated from the image's DCT coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from afdcli.methods.distances import mean_relative_error, relative_error
from afdcli.methods.drift import DriftEstimator
from afdcli.methods.remedy import Batch, Network, Remedy, misprediction, zero_init
from afdcli.options import TrainOptions

CONSISTENCY = 0.03
"""The paper's lambda, for both kinds of features. With as much weight on them as on predictions, the network makes the
features of both images alike by no longer telling one image from another."""


@dataclass(frozen=True)
class FCTConfig:
    """The shape of an `FCTModule`."""

    channels: int
    """Of the features at the tap."""
    width: int = 32
    """Channels inside the residual mapping block; 0: there is none, and the backbone alone is trained."""


class FCTModule(Remedy):
    """The residual mapping block, and the estimate of the quality factor; the trained backbone belongs to it."""

    method = "fct"
    Config = FCTConfig
    trains_backbone = True
    config: FCTConfig

    def __init__(self, config: FCTConfig) -> None:
        super().__init__()
        self.config = config
        self.uses_quality = config.width > 0
        if not self.uses_quality:
            return
        self.estimator = DriftEstimator(pooled=True)
        self.mapping = nn.Sequential(
            nn.Conv2d(config.channels + 1, config.width, 3, padding=1),
            nn.PReLU(config.width),
            nn.Conv2d(config.width, config.channels, 3, padding=1),
        )
        zero_init(self.mapping[-1])

    @classmethod
    def build(cls, options: TrainOptions, channels: int, blocks: tuple[int, ...]) -> FCTModule:
        """See `Remedy`."""
        return cls(FCTConfig(channels, options.width))

    def fits(self, channels: int, blocks: tuple[int, ...]) -> bool:
        """See `Remedy`."""
        return channels == self.config.channels

    def mend(self, features: Tensor, images: Tensor, quality: Tensor | None = None) -> tuple[Tensor, None]:
        """`features` (B, C, h, w) with their residual; `quality` (B,) in 1..100, NaN where it is to be estimated."""
        if not self.uses_quality:
            return features, None
        if quality is None:
            quality = torch.full((len(images),), torch.nan, device=images.device)
        quality = torch.where(quality.isnan(), self.estimate(images), quality)
        lost = (1 - quality / 100).to(features.dtype).view(-1, 1, 1, 1)
        plane = lost.expand(-1, 1, *features.shape[-2:])
        # Where nothing was lost there is nothing to add. Of the plane alone the block would make little use.
        return features + lost * self.mapping(torch.cat((features, plane), 1)), None

    def estimate(self, images: Tensor) -> Tensor:
        """The quality factor (B,) in 0..100 that `images` (B, 3, H, W) in [0, 1] look like."""
        return 100 * self.estimator(images, (1, 1)).flatten()  # type: ignore[no-any-return]

    def losses(self, student: Network, teacher: Network, batch: Batch) -> dict[str, Tensor]:
        """How far both predictions are from the labels, or the untouched one; both images' features from one another;
        and the estimated quality factors from those that are known."""
        with torch.no_grad():
            target = teacher.outputs(batch.original).logits
        undamaged = torch.full_like(batch.quality, 100)
        raw = student.outputs(batch.original, undamaged)
        compressed = student.outputs(batch.degraded, batch.quality)
        losses = {
            "feature": CONSISTENCY * relative_error(compressed.features, raw.features),
            "logit": misprediction(raw.logits, batch, target) + misprediction(compressed.logits, batch, target),
        }
        if raw.stages:  # where the tap is at the end there are no later blocks
            losses["stage"] = CONSISTENCY * mean_relative_error(compressed.stages, raw.stages)
        if self.uses_quality:
            known = ~batch.quality.isnan()
            error = (self.estimate(batch.degraded)[known] - batch.quality[known]).abs() / 100
            losses["quality"] = error.sum() / max(1, len(error))
        return losses
