"""Removing artifacts from the image, before a classifier that knows nothing of it: implementation of "Compression
Artifacts Reduction by a Deep Convolutional Network" (ARCNN; Dong, Deng, Loy, Tang; ICCV 2015),
https://arxiv.org/abs/1504.06993

Four convolutions, 9x9, 7x7, 1x1 and 5x5: feature extraction, enhancement, mapping, reconstruction. Different from the
paper: it works on RGB and adds its output to the image, and half as many channels are the default.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from afdcli.methods.remedy import Batch, Network, Remedy, silence
from afdcli.options import TrainOptions


@dataclass(frozen=True)
class ARCNNConfig:
    """The shape of an `ARCNN`."""

    widths: tuple[int, int, int] = (32, 16, 8)
    """Channels after the first three convolutions; the paper's are 64, 32 and 16."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # from JSON it comes as a list


class ARCNN(Remedy):
    """From images to images with fewer artifacts."""

    method = "restore"
    Config = ARCNNConfig
    tap = "stem"

    def __init__(self, config: ARCNNConfig) -> None:
        super().__init__()
        self.config = config
        extract, enhance, map_ = config.widths
        self.layers = nn.Sequential(
            nn.Conv2d(3, extract, 9, padding=4),
            nn.ReLU(),
            nn.Conv2d(extract, enhance, 7, padding=3),
            nn.ReLU(),
            nn.Conv2d(enhance, map_, 1),
            nn.ReLU(),
            nn.Conv2d(map_, 3, 5, padding=2),
        )
        silence(self.layers[-1])

    @classmethod
    def build(cls, options: TrainOptions, channels: int, blocks: tuple[int, ...]) -> ARCNN:
        """See `Remedy`."""
        return cls(ARCNNConfig())

    def restore(self, images: Tensor) -> Tensor:
        """`images` (B, 3, H, W) in [0, 1], restored, in [0, 1]."""
        return (images + self.layers(images)).clamp(0, 1)  # type: ignore[no-any-return]

    def losses(self, student: Network, teacher: Network, batch: Batch) -> dict[str, Tensor]:
        """The squared error of the pixels, as in the paper, in units of 1/1000."""
        return {"pixel": 1000 * F.mse_loss(self.restore(batch.degraded).float(), batch.original)}
