"""What afd has to know of a network, wherever it comes from: timm, the hub, torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from afdcli.models.state_dicts import Architecture
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing


@dataclass(frozen=True)
class Input:
    """What a network is to be fed with."""

    preprocessing: Preprocessing
    """How a photo becomes an image of the size that it takes."""
    mean: tuple[float, ...]
    """The mean of each channel, for pixels in [0, 1], that normalising subtracts."""
    std: tuple[float, ...]
    """The standard deviation of each channel, for pixels in [0, 1], that normalising divides by."""


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
