"""Implementation of "Deep Degradation Prior for Low-Quality Image Classification"
(Wang, Cao, Zha, Zhang, Xiong; CVPR 2020), as the AFD paper compares with it.

A feature de-drifting module of plain convolutions at three widths, side by side, over the stem's features and the image
resized to them; a 1x1 convolution makes one correction of the three. It learns, without labels, to give the features of
the original: there is no estimate of the drift, and no teacher beyond the stem.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afdcli.methods.distances import relative_error
from afdcli.methods.remedy import Batch, Network, Remedy, zero_init
from afdcli.options import TrainOptions


@dataclass(frozen=True)
class DDPConfig:
    """The shape of a `DDPModule`."""

    channels: int
    """Of the features at the tap."""
    widths: tuple[int, ...] = (64, 32, 16)
    """Channels of each of the branches."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # from JSON it comes as a list


class DDPModule(Remedy):
    """The plug-in: features at the stem, and the image, to features nearer to those of the original."""

    method = "ddp"
    Config = DDPConfig
    tap = "stem"

    def __init__(self, config: DDPConfig) -> None:
        super().__init__()
        self.config = config
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(config.channels + 3, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
            )
            for width in config.widths
        )
        self.fuse = nn.Conv2d(sum(config.widths), config.channels, 1)
        zero_init(self.fuse)

    @classmethod
    def build(cls, options: TrainOptions, channels: int, blocks: tuple[int, ...]) -> DDPModule:
        """See `Remedy`."""
        return cls(DDPConfig(channels))

    def fits(self, channels: int, blocks: tuple[int, ...]) -> bool:
        """See `Remedy`."""
        return bool(channels == self.config.channels)

    def mend(self, features: Tensor, images: Tensor, quality: Tensor | None = None) -> tuple[Tensor, None]:
        """`features` (B, C, h, w) with their correction."""
        small = F.interpolate(images, features.shape[-2:], mode="bilinear", align_corners=False, antialias=True)
        x = torch.cat((features, small), 1)
        return features + self.fuse(torch.cat([branch(x) for branch in self.branches], 1)), None

    def losses(self, student: Network, teacher: Network, batch: Batch) -> dict[str, Tensor]:
        """How far the features are from the original's."""
        with torch.no_grad():
            clean = teacher.outputs(batch.original)
        return {"feature": relative_error(student.outputs(batch.degraded).features, clean.features)}
