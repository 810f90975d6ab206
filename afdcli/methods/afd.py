"""Implementation of "Lightweight Adaptive Feature De-drifting for Compressed Image Classification"
(Peng, Cao, Sun, Wang; IEEE TMM 2024), https://arxiv.org/abs/2401.01724

Compression makes a classifier's shallow features drift away from those of the original image. The module puts them
back, inside a frozen classifier:

    drift    = DriftEstimator(image)                         # FDE-Net: how far, place by place
    features = features + drift * FeatureEnhancer(features)  # FE-Net: which way

Implemented: the block DCT, both networks, and RepConv with its folding. Different from the authors' published code:
the map is spatial, as in the paper's figures 1 and 2 (`pooled` is the code's one value a channel), and RepConv pads
before the first convolution, which alone makes folding exact at the border. Beyond the paper: the same drift map steers
low-rank corrections of later blocks (`later`; none in the paper), and the DCT folds into one convolution. Instead of
FDE-Net new modules have an estimate that is taught the true drift, and is told the features: see `drift`.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from afdcli.methods.dct import BlockLayer
from afdcli.methods.distances import angle_error, divergence, mean_relative_error, relative_error
from afdcli.methods.drift import AngleEstimator, DriftEstimator, corrected_share
from afdcli.methods.folding import filled, parameters
from afdcli.methods.remedy import Batch, Network, Remedy, zero_init
from afdcli.options import TrainOptions


@dataclass(frozen=True)
class AFDConfig:
    """The shape of an `AFDModule`: enough to build it again."""

    channels: int
    """Of the features at the tap."""
    width: int = 16
    """Channels of the enhancer at its full resolution."""
    growth: int = 2
    """How many times as many each deeper level has as the one above it."""
    depth: int = 2
    """Times the enhancer halves the resolution and doubles it again."""
    stride: int = 1
    """Reduction at which the enhancer works: 2 halves the features' resolution first. The cost falls by its square."""
    hidden: int = 64
    """Channels inside the drift estimator."""
    pooled: bool = False
    """One drift value a channel for the whole image, as in the authors' code, instead of one a place: `paper` only."""
    estimator: str = "paper"
    """Of the drift: `paper`, in (0, 1); or `angle`, in degrees. See `drift`."""
    sized: int = 0
    """Channels of the paper's estimate, where a module that was trained with it got that of angles as well: it goes on
    saying how much is added where something is lost. 0: there is none, and all is added."""
    later: tuple[int, ...] = ()
    """Channels of the blocks after the tap that are corrected as well. In files of before there is a 0 for each layer
    between them."""
    rank: int = 128
    """Channels inside a correction of a later layer, at most."""
    folded: bool = False
    """All that is linear is folded into single convolutions: for use, not for training."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "later", tuple(self.later))  # from JSON it comes as a list
        if self.depth > 16:
            raise ValueError(f"no image can be halved {self.depth} times")


class RepConv(nn.Module):
    """Three parallel branches, (1x1, 3x3), (3x3, 1x1) and 1x1, summed: in effect one 3x3, and computed as that.

    The 3x3 is worked out anew from the branches at every call, which costs next to nothing beside running all three;
    gradients reach the branches' weights as if they had been run (Hu et al., "Online Convolutional
    Re-parameterization", CVPR 2022).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # Padding goes to the 1x1, whose bias then fills the border: so does the folded convolution, exactly.
        self.squeeze_first = nn.Sequential(nn.Conv2d(inputs, outputs, 1, padding=1), nn.Conv2d(outputs, outputs, 3))
        self.squeeze_last = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 1))
        self.point = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return F.conv2d(x, *self._fold(self.point.weight.dtype), padding=1)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The 3x3 alone. Worked out in float64."""
        weight, bias = self._fold(torch.float64)
        outputs, inputs = weight.shape[:2]
        return filled(nn.Conv2d(inputs, outputs, 3, padding=1), weight, bias, like=self.point.weight)

    def _fold(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight (outputs, inputs, 3, 3) and bias (outputs) of the 3x3."""
        point, wide = parameters(self.squeeze_first[0], dtype), parameters(self.squeeze_first[1], dtype)
        weight = torch.einsum("omxy,mi->oixy", wide[0], point[0][:, :, 0, 0])
        bias = wide[1] + torch.einsum("omxy,m->o", wide[0], point[1])

        wide, point = parameters(self.squeeze_last[0], dtype), parameters(self.squeeze_last[1], dtype)
        weight = weight + torch.einsum("om,mixy->oixy", point[0][:, :, 0, 0], wide[0])
        bias = bias + point[1] + point[0][:, :, 0, 0] @ wide[1]

        point = parameters(self.point, dtype)
        return weight + F.pad(point[0], (1, 1, 1, 1)), bias + point[1]


class FeatureEnhancer(nn.Module):
    """FE-Net: a small U-Net of RepConv blocks (section III-C)."""

    def __init__(self, config: AFDConfig) -> None:
        super().__init__()
        widths = [config.width * config.growth**level for level in range(config.depth + 1)]
        self.stride = config.stride
        self.enter = _block(config.channels, widths[0])
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in reversed([*pairwise(widths)]))
        self.leave = RepConv(widths[0], config.channels)
        for last in (self.leave.squeeze_first[1], self.leave.squeeze_last[1], self.leave.point):
            zero_init(last)

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


def _correction(channels: int, rank: int) -> nn.Module:
    """What a later layer's output (B, channels, h, w) lacks, where it has `channels` at all."""
    if channels == 0:
        return nn.Identity()
    rank = min(rank, channels)
    last = nn.Conv2d(rank, channels, 1)
    zero_init(last)
    return nn.Sequential(nn.Conv2d(channels, rank, 1), nn.PReLU(rank), last)


class AFDModule(Remedy, PyTorchModelHubMixin, library_name="afd-dedrift", license="apache-2.0"):
    """The plug-in: features at the tap, and the image they come from, to de-drifted features.

    `save_pretrained`, `push_to_hub` and `from_pretrained` are huggingface_hub's. They keep the module and its config
    alone: a checkpoint (see `checkpoint`) also says which backbone it is for.
    """

    method = "afd"
    Config = AFDConfig
    estimates_drift = True
    config: AFDConfig

    def __init__(self, config: AFDConfig) -> None:
        super().__init__()
        self.config = config
        self.measures_drift = config.estimator == "angle"
        self.drift: DriftEstimator | AngleEstimator
        if self.measures_drift:
            self.drift = AngleEstimator(config.channels, config.hidden)
        else:
            self.drift = DriftEstimator(config.hidden, config.channels, config.pooled)
        if config.sized:
            self.size = DriftEstimator(config.sized)
        self.enhance = FeatureEnhancer(config)
        self.later = nn.ModuleList(_correction(channels, config.rank) for channels in config.later)
        self._corrected = [number for number, channels in enumerate(config.later) if channels]
        if config.folded:
            self._fold()

    @classmethod
    def build(cls, options: TrainOptions, channels: int, blocks: tuple[int, ...]) -> "AFDModule":
        """See `Remedy`."""
        config = AFDConfig(
            channels=channels,
            width=options.width,
            growth=options.growth,
            depth=options.depth,
            stride=options.stride,
            hidden=options.hidden,
            pooled=options.pooled,
            estimator=options.estimator,
            later=blocks if options.rank else (),
            rank=options.rank,
        )
        return cls(config)

    def losses(self, student: Network, teacher: Network, batch: Batch) -> dict[str, Tensor]:
        """How far the features at the tap, those of its later blocks, and the predictions are from the original's; and
        how wrong the estimated angles are."""
        with torch.no_grad():
            clean = teacher.outputs(batch.original)
        mended = student.outputs(batch.degraded)
        losses = {
            "feature": relative_error(mended.features, clean.features),
            "logit": divergence(mended.logits, clean.logits),
        }
        if mended.stages:  # where the tap is at the end there are no later blocks
            losses["stage"] = mean_relative_error(mended.stages, clean.stages)
        if self.measures_drift:
            assert mended.drift is not None and mended.found is not None
            losses["drift"] = angle_error(mended.drift, mended.found, clean.features)
        return losses

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """`features` (B, channels, h, w) of `images` (B, 3, H, W) in [0, 1], de-drifted. Any sizes."""
        return self.mend(features, images)[0]

    def mend(self, features: Tensor, images: Tensor, quality: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the drift map, see `DriftEstimator` and `AngleEstimator`; if it is sized, the angle
        and the size as two channels."""
        if isinstance(self.drift, AngleEstimator):
            drift = self.drift(features, images)
            if self.config.sized:
                drift = torch.cat((drift, self.size(images, features.shape[-2:])), 1)
        else:
            drift = self.drift(images, features.shape[-2:])
        return features + self._share(drift) * self.enhance(features), drift

    def _share(self, drift: Tensor) -> Tensor:
        """How much of what could be added is added, in [0, 1], shaped like `drift`."""
        if self.config.sized:
            return corrected_share(drift[:, :1]) * drift[:, 1:]
        return corrected_share(drift) if self.measures_drift else drift

    def drift_of(self, drift: Tensor) -> Tensor:
        """See `Remedy`."""
        return drift[:, 0] if self.config.sized else drift.mean(1)

    def correct(self, drift: Tensor | None, number: int, x: Tensor) -> Tensor:
        """The map `x` (B, C, h, w) of block `number` after the tap, corrected where `drift`, of `mend`, is high."""
        assert drift is not None
        if number >= len(self._corrected):
            return x
        share = self._share(drift).mean(1, keepdim=True)
        local = F.adaptive_avg_pool2d(share, (x.shape[2], x.shape[3]))
        return x + local * self.later[self._corrected[number]](x)  # type: ignore[no-any-return]

    def fits(self, channels: int, blocks: tuple[int, ...]) -> bool:
        """See `Remedy`."""
        corrected = tuple(self.config.later[number] for number in self._corrected)
        return channels == self.config.channels and corrected == blocks[: len(corrected)]

    @property
    def is_folded(self) -> bool:
        """Whether all that is linear is folded."""
        return self.config.folded

    def folded(self) -> "AFDModule":
        """A copy with all that is linear folded into single convolutions: the same function, for deployment."""
        copy = deepcopy(self)
        copy.config = copy._hub_mixin_config = replace(self.config, folded=True)
        copy._fold()
        return copy

    def _fold(self) -> None:
        for name, module in list(self.named_modules()):
            if isinstance(module, (RepConv, BlockLayer)):
                self.set_submodule(name, module.folded())
