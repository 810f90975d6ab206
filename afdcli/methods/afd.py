"""Implementation of "Lightweight Adaptive Feature De-drifting for Compressed Image Classification"
(Peng, Cao, Sun, Wang; IEEE TMM 2024), https://arxiv.org/abs/2401.01724

Compression makes a classifier's shallow features drift away from those of the original image. The module puts them
back, between a frozen stem and a frozen tail:

    drift    = DriftEstimator(image)                         # FDE-Net: how far, in (0, 1), place by place
    features = features + drift * FeatureEnhancer(features)  # FE-Net: which way

Implemented: the block DCT, both networks, and RepConv with its folding. Different from the authors' published code:
the map is spatial, as in the paper's figures 1 and 2 (`pooled` is the code's one value a channel), and RepConv pads
before the first convolution, which alone makes folding exact at the border.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 8
ZIGZAG = sorted(
    range(BLOCK * BLOCK),
    key=lambda i: (i // BLOCK + i % BLOCK, i // BLOCK if (i // BLOCK + i % BLOCK) % 2 else i % BLOCK),
)
"""Row-by-row positions of an 8x8 block in the order of rising frequency (ITU-T T.81, figure A.6)."""


@dataclass(frozen=True)
class AFDConfig:
    """The shape of an `AFDModule`: enough to build it again."""

    channels: int
    """Of the features at the tap."""
    width: int = 16
    """Channels of the enhancer at its full resolution; deeper levels have twice as many each."""
    depth: int = 2
    """Times the enhancer halves the resolution and doubles it again."""
    stride: int = 1
    """Reduction at which the enhancer works: 2 halves the features' resolution first. The cost falls by its square."""
    hidden: int = 64
    """Channels inside the drift estimator."""
    pooled: bool = False
    """One drift value a channel for the whole image, as in the authors' code, instead of one a place."""


class BlockDCT(nn.Module):
    """The transform of JPEG: 8x8 block DCT-II, orthonormal, of Y, Cb and Cr (JFIF), each in [-0.5, 0.5]."""

    basis: Tensor
    to_ycbcr: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(BLOCK, dtype=torch.float64)
        rows = torch.cos(torch.pi * (2 * n + 1) * n[:, None] / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
        rows[0] /= 2**0.5
        basis = torch.einsum("ux,vy->uvxy", rows, rows).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)[ZIGZAG]
        ycbcr = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
        self.register_buffer("basis", basis.repeat(3, 1, 1, 1).float(), persistent=False)
        self.register_buffer("to_ycbcr", ycbcr.view(3, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Coefficients (B, 3 * 64, ceil(H / 8), ceil(W / 8)), zig-zag within each colour, of `images` (B, 3, H, W).

        `images` are RGB in [0, 1]. Sides that are no multiple of 8 are continued by their last row and column.
        """
        height, width = images.shape[-2:]
        if height % BLOCK or width % BLOCK:
            images = F.pad(images, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
        ycbcr = F.conv2d(images, self.to_ycbcr)
        ycbcr = ycbcr - ycbcr.new_tensor([0.5, 0.0, 0.0]).view(1, 3, 1, 1)  # Cb and Cr are centred already
        return F.conv2d(ycbcr, self.basis, stride=BLOCK, groups=3)


class RepConv(nn.Module):
    """Three parallel branches while training, (1x1, 3x3), (3x3, 1x1) and 1x1, summed; one 3x3 once folded."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # Padding goes to the 1x1, whose bias then fills the border: so does the folded convolution, exactly.
        self.squeeze_first = nn.Sequential(nn.Conv2d(inputs, outputs, 1, padding=1), nn.Conv2d(outputs, outputs, 3))
        self.squeeze_last = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 1))
        self.point = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return self.squeeze_first(x) + self.squeeze_last(x) + self.point(x)  # type: ignore[no-any-return]

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The one 3x3 convolution that computes the same. Worked out in float64."""
        point, wide = _parameters(self.squeeze_first[0]), _parameters(self.squeeze_first[1])
        weight = torch.einsum("omxy,mi->oixy", wide[0], point[0][:, :, 0, 0])
        bias = wide[1] + torch.einsum("omxy,m->o", wide[0], point[1])

        wide, point = _parameters(self.squeeze_last[0]), _parameters(self.squeeze_last[1])
        weight += torch.einsum("om,mixy->oixy", point[0][:, :, 0, 0], wide[0])
        bias += point[1] + point[0][:, :, 0, 0] @ wide[1]

        point = _parameters(self.point)
        weight[:, :, 1, 1] += point[0][:, :, 0, 0]
        bias += point[1]

        like = self.point.weight
        folded = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, device=like.device, dtype=like.dtype)
        folded.weight.copy_(weight)
        assert folded.bias is not None
        folded.bias.copy_(bias)
        return folded


def _parameters(convolution: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    return convolution.weight.double(), convolution.bias.double()


class DriftEstimator(nn.Module):
    """FDE-Net: how far the features have drifted, from the image's DCT coefficients (section III-B)."""

    def __init__(self, config: AFDConfig) -> None:
        super().__init__()
        self.pooled = config.pooled
        self.dct = BlockDCT()
        self.layers = nn.Sequential(
            nn.Conv2d(3 * BLOCK * BLOCK, config.hidden, 1),
            nn.PReLU(config.hidden),
            nn.Conv2d(config.hidden, config.hidden, 1),
            nn.PReLU(config.hidden),
            nn.Conv2d(config.hidden, config.channels if config.pooled else 1, 1),
        )

    def forward(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """The drift map in (0, 1): (B, 1, *size), or (B, channels, 1, 1) if pooled. `images` (B, 3, H, W) in [0, 1]."""
        drift = self.layers(self.dct(images))
        if self.pooled:
            return drift.mean((2, 3), keepdim=True).sigmoid()  # type: ignore[no-any-return]
        return F.interpolate(drift, size, mode="bilinear", align_corners=False).sigmoid()


class FeatureEnhancer(nn.Module):
    """FE-Net: a small U-Net of RepConv blocks (section III-C)."""

    def __init__(self, config: AFDConfig) -> None:
        super().__init__()
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        self.stride = config.stride
        self.enter = _block(config.channels, widths[0])
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in reversed([*pairwise(widths)]))
        self.leave = RepConv(widths[0], config.channels)
        # An untrained module corrects nothing, so training starts from the backbone as it is.
        for last in (self.leave.squeeze_first[1], self.leave.squeeze_last[1], self.leave.point):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """The correction (B, channels, H, W) to `features` (B, channels, H, W)."""
        size = features.shape[-2:]
        if self.stride > 1:
            features = F.avg_pool2d(features, self.stride, ceil_mode=True)
        skips = [self.enter(features)]
        for block in self.down:
            skips.append(block(F.max_pool2d(skips[-1], 2, ceil_mode=True)))
        x = skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat((skip, x), 1))
        x = self.leave(x)
        return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(RepConv(inputs, outputs), nn.PReLU(outputs))


class AFDModule(nn.Module):
    """The plug-in: features at the tap, and the image they come from, to de-drifted features."""

    def __init__(self, config: AFDConfig) -> None:
        super().__init__()
        self.config = config
        self.drift = DriftEstimator(config)
        self.enhance = FeatureEnhancer(config)

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """`features` (B, channels, h, w) of `images` (B, 3, H, W) in [0, 1], de-drifted. Any sizes."""
        return self.mend(features, images)[0]

    def mend(self, features: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the drift map, see `DriftEstimator`."""
        drift = self.drift(images, features.shape[-2:])
        return features + drift * self.enhance(features), drift

    @property
    def is_folded(self) -> bool:
        """Whether no RepConv is left."""
        return not any(isinstance(module, RepConv) for module in self.modules())

    def folded(self) -> AFDModule:
        """A copy with each RepConv folded into one convolution: the same function, for deployment."""
        copy = deepcopy(self)
        for name, module in list(copy.named_modules()):
            if isinstance(module, RepConv):
                copy.set_submodule(name, module.folded())
        return copy
