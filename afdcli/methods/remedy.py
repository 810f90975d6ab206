"""What all methods have in common: what they may change in a classifier, and how far apart its outputs are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from afdcli.methods.distances import divergence
from afdcli.options import TrainOptions


@dataclass(frozen=True)
class Outputs:
    """What a classifier makes of images, from its beginning to its end."""

    images: Tensor
    """(B, 3, H, W) in [0, 1], what the network gets."""
    features: Tensor
    """(B, C, h, w) at the tap, what goes on from there."""
    stages: list[Tensor]
    """The output of each of the model's blocks after the tap, as what follows gets it."""
    logits: Tensor
    """(B, classes)."""
    found: Tensor | None = None
    """(B, C, h, w) at the tap, what the network makes of the images, before anything is mended."""
    drift: Tensor | None = None
    """The map of `Remedy.mend`, if there is one."""


@dataclass(frozen=True)
class Batch:
    """What one step of training learns from."""

    original: Tensor
    """(B, 3, H, W) in [0, 1]."""
    degraded: Tensor
    """The same, each compressed; in the share of undamaged ones the original itself."""
    quality: Tensor
    """(B,) the JPEG quality factor of the last save, in 1..100; 100 for undamaged ones, NaN where it was no JPEG."""
    labels: Tensor | None = None
    """(B,) the classes, if they are known."""


class Network(Protocol):
    """A classifier, as methods see it: see `DedriftedClassifier`."""

    def outputs(self, images: Tensor, quality: Tensor | None = None) -> Outputs:
        """Of `images` (B, 3, H, W), RGB in [0, 1], with their JPEG `quality` (B,), NaN where it is not known."""


class Remedy(nn.Module):
    """What is put into a frozen backbone. By itself it changes nothing; each method overrides what it changes."""

    method: ClassVar[str] = "none"
    """Its name on the command line and in files."""
    Config: ClassVar[type[Any]]
    """A dataclass: enough to build it again."""
    config: Any
    tap: ClassVar[str] = "auto"
    """Where it goes unless that is said, see `TrainOptions.tap`."""
    trains_backbone: ClassVar[bool] = False
    """Whether a copy of the backbone is trained along with it, and belongs to it."""
    estimates_drift: ClassVar[bool] = False
    """Whether `mend` gives a drift map."""
    measures_drift: bool = False
    """Whether that map is in degrees, an estimate of the angle that compression turned the features by."""
    compilable: ClassVar[bool] = True
    """Whether an engine may compile it."""
    uses_quality: bool = False
    """Whether `mend` does something with the quality."""

    @classmethod
    def build(cls, options: TrainOptions, channels: int, blocks: tuple[int, ...]) -> Remedy:
        """An untrained one, which changes nothing yet; `channels` are those of the features at the tap,
        `blocks` those of the blocks after it, see `models.taps.Tap`."""
        raise NotImplementedError

    def losses(self, student: Network, teacher: Network, batch: Batch) -> dict[str, Tensor]:
        """What training makes small, by name, before weighting. `student` has this remedy, `teacher` is the backbone.

        The names are among `feature`, `stage`, `logit`, `drift`, `pixel` and `quality`.
        """
        raise NotImplementedError

    def restore(self, images: Tensor) -> Tensor:
        """What the network gets instead of `images` (B, 3, H, W) in [0, 1]."""
        return images

    def mend(self, features: Tensor, images: Tensor, quality: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What goes on instead of `features` (B, C, h, w), and a drift map, if there is one: see `Description`.

        `quality` (B,) is the JPEG quality factor of the files, NaN where it is not known.
        """
        return features, None

    def drift_of(self, drift: Tensor) -> Tensor:
        """The one number (B, h, w) for each place that the map `drift` of `mend` stands for."""
        return drift.mean(1)

    def correct(self, drift: Tensor | None, number: int, x: Tensor) -> Tensor:
        """What goes on instead of the map `x` (B, C, h, w) that block `number` after the tap gives; `drift` is that of
        `mend`."""
        return x

    def fits(self, channels: int, blocks: tuple[int, ...]) -> bool:
        """Whether it is made for a place with so many channels, and for such blocks after it: both as for `build`."""
        return True

    @property
    def is_folded(self) -> bool:
        """Whether there is nothing, or nothing any more, to fold."""
        return True

    def folded(self) -> Remedy:
        """The same function in fewer operations, for use."""
        return self


def misprediction(logits: Tensor, batch: Batch, target: Tensor) -> Tensor:
    """How far predictions for `batch` are from its labels, as cross-entropy; or else from the `target` logits."""
    if batch.labels is not None:
        return F.cross_entropy(logits.float(), batch.labels)
    return divergence(logits, target)


def zero_init(last: nn.Module) -> None:
    """Have an untrained module add nothing, so that training starts from the backbone as it is."""
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
