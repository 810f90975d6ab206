"""Two estimates of how far compression has made features drift: the paper's, and one that is told the truth.

The paper's FDE-Net (`DriftEstimator`) reads the image alone and is shaped by what its map is good for: a gate, in
(0, 1), that hardly says how much was lost, and not where. `AngleEstimator` departs from it in three ways: it also reads
the features at the tap, which say where; of the coefficients it reads how many are small over the whole image, which
says how much was rounded away; and it learns the true angle between damaged and original features, place by place.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afdcli.methods.dct import BlockLayer, SmallShares, whole_blocks
from afdcli.methods.remedy import zero_init

LARGEST = 120.0
"""Degrees that the estimate stays below: features that have nothing in common any more are 90 apart."""
DRIFTS, DRIFTED = 10.0, 25.0
"""Degrees up to which nothing is corrected, and from which all is. Undamaged photos are estimated at 7 on average, JPEG
of quality 60 turns features by 20 to 30. Places between are corrected in part."""
SHORTEST = 1e-4
"""Features shorter than this have no direction."""


class DriftEstimator(nn.Module):
    """FDE-Net: how far the features have drifted, from the image's DCT coefficients (section III-B)."""

    def __init__(self, hidden: int = 64, channels: int = 1, pooled: bool = False) -> None:
        super().__init__()
        self.pooled = pooled
        self.layers = nn.Sequential(
            BlockLayer(hidden),
            nn.PReLU(hidden),
            nn.Conv2d(hidden, hidden, 1),
            nn.PReLU(hidden),
            nn.Conv2d(hidden, channels if pooled else 1, 1),
        )

    def forward(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """The drift map in (0, 1): (B, 1, *size), or (B, channels, 1, 1) if pooled. `images` (B, 3, H, W) in [0, 1].

        Sides that are no multiple of 8 are continued by their last row and column.
        """
        drift = self.layers(whole_blocks(images))
        if self.pooled:
            return drift.mean((2, 3), keepdim=True).sigmoid()  # type: ignore[no-any-return]
        return F.interpolate(drift, size, mode="bilinear", align_corners=False).sigmoid()


class AngleEstimator(nn.Module):
    """Degrees between damaged features and those of the original, from the features and the image."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.shares = SmallShares()
        self.told = nn.Sequential(nn.Linear(self.shares.count, hidden), nn.PReLU(hidden), nn.Linear(hidden, 2 * hidden))
        zero_init(self.told[-1])
        self.enter = nn.Conv2d(channels + 1, hidden, 1)
        self.layers = nn.Sequential(nn.PReLU(hidden), *_separable(hidden), *_separable(hidden), nn.Conv2d(hidden, 1, 1))

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """Degrees (B, 1, h, w) in (0, 120), of `features` (B, channels, h, w) of `images` (B, 3, H, W) in [0, 1]."""
        norm = features.float().square().sum(1, keepdim=True).add(SHORTEST**2).sqrt()
        direction = features / norm * features.shape[1] ** 0.5  # about 1 each, on any backbone
        x = self.enter(torch.cat((direction, norm.log()), 1))
        scale, shift = self.told(self.shares(images))[:, :, None, None].chunk(2, 1)
        return LARGEST * self.layers(x * (1 + scale) + shift).sigmoid()  # type: ignore[no-any-return]


def _separable(channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
        nn.Conv2d(channels, channels, 1),
        nn.PReLU(channels),
    )


def corrected_share(angle: Tensor) -> Tensor:
    """How much of a correction a place gets where features are turned by `angle` degrees, any shape: in [0, 1].

    No gradient goes through it, or what the corrections are good for would teach the estimate, and not the truth.
    """
    return ((angle.detach() - DRIFTS) / (DRIFTED - DRIFTS)).clamp(0, 1)
