"""What afd has to know of a network, wherever it comes from: timm, the hub, torchvision."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from torch import nn

from afdcli.models.state_dicts import Architecture
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

LARGEST = 10_000
"""Pixels of a side that no network's input is larger than."""


@dataclass(frozen=True)
class Input:
    """What a network is to be fed with."""

    preprocessing: Preprocessing
    """How a photo becomes an image of the size that it takes."""
    mean: tuple[float, ...]
    """The mean of each channel, for pixels in [0, 1], that normalising subtracts."""
    std: tuple[float, ...]
    """The standard deviation of each channel, for pixels in [0, 1], that normalising divides by."""

    def to_json(self) -> dict[str, Any]:
        """This as values of JSON."""
        content = asdict(self)
        content["preprocessing"]["interpolation"] = self.preprocessing.interpolation.name.lower()
        return content

    @classmethod
    def from_json(cls, content: Any) -> Input:
        """What `to_json` was called of, from what that gave, perhaps read from a file.

        Raises:
            KeyError, TypeError, ValueError: `content` is not what `to_json` gives.
        """
        own = content["preprocessing"]
        size, share = int(own["size"]), float(own["crop_pct"])
        mean, std = (tuple(map(float, content[name])) for name in ("mean", "std"))
        if not (0 < size <= LARGEST and 0 < share <= 1 and len(mean) == len(std) == 3):
            raise ValueError("no network is fed so")
        resampling = Image.Resampling[str(own["interpolation"]).upper()]
        return cls(Preprocessing(size, share, resampling, bool(own["squash"])), mean, std)


@dataclass(frozen=True)
class Pretrained:
    """A network with the weights that were published for it."""

    model: nn.Module
    """The network."""
    files: tuple[Path, ...]
    """The files that the weights were read from."""


class Origin(Protocol):
    """One network by its name."""

    name: str
    """By which afd finds it again, however it was spelled."""
    architecture: Architecture
    """How it is built."""

    def pretrained(self) -> Pretrained:
        """The network with the weights that were published for it.

        Raises:
            BackboneUnavailable: there are none, or they are not to be had here.
            BadCheckpoint: the file of weights is damaged.
        """

    def input(self, model: nn.Module) -> Input:
        """What `model`, which is this network with any weights, is fed with.

        Raises:
            UnsupportedBackbone: its preprocessing is not known here.
        """

    def labels(self, model: nn.Module) -> Labels:
        """What the classes of `model`, this network with any weights, are called, as far as that is known."""
