"""Removing artifacts from the image, before a classifier that knows nothing of it: implementation of "Compression
Artifacts Reduction by a Deep Convolutional Network" (ARCNN; Dong, Deng, Loy, Tang; ICCV 2015),
https://arxiv.org/abs/1504.06993

Four convolutions, 9x9, 7x7, 1x1 and 5x5: feature extraction, enhancement, mapping, reconstruction. Different from the
paper: it works on RGB and adds its output to the image, and half as many channels are the default.

Other networks for the same job, trained elsewhere, are read through spandrel: DnCNN, FBCNN and many more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from afdcli.errors import BadCheckpoint
from afdcli.methods.finite import check_finite
from afdcli.methods.remedy import Batch, Network, Remedy, zero_init
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
        zero_init(self.layers[-1])

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


class Restorer(Remedy):
    """A network of others, which is used and not trained."""

    tap = "stem"
    compilable = False

    def __init__(self, descriptor: Any) -> None:
        """`descriptor` is spandrel's, of a network from RGB to RGB at the same size."""
        super().__init__()
        self.network: nn.Module = descriptor.model
        self._descriptor = descriptor

    def restore(self, images: Tensor) -> Tensor:
        """`images` (B, 3, H, W) in [0, 1], restored, in [0, 1]."""
        return torch.cat([self._descriptor(image[None]) for image in images])  # it takes one at a time


def load_restorer(path: Path) -> Restorer:
    """The network in the .pth or .safetensors file at `path`. Code in it is never run.

    Raises:
        BadCheckpoint: spandrel is not installed, does not know the network, it is for another job, or has NaN in it.
    """
    try:
        import spandrel
    except ImportError:
        raise BadCheckpoint(
            f"'{path}' holds no module of afd. If it is a network that restores images, install what reads it with: "
            "pip install 'afd-dedrift[restore]'"
        ) from None
    if path.suffix.lower() not in (".pth", ".safetensors"):  # spandrel would run a TorchScript file's code
        raise BadCheckpoint(f"'{path}' must end in .pth or .safetensors.")
    try:
        descriptor = spandrel.ModelLoader().load_from_file(path)
    except Exception as error:  # torch and spandrel raise many kinds on foreign files.
        raise BadCheckpoint(f"'{path}' holds no module of afd, nor a network that spandrel knows.") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or descriptor.scale != 1:
        raise BadCheckpoint(f"'{path}' is a network of another kind: it does not restore images at their own size.")
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        raise BadCheckpoint(f"'{path}' restores grey images. A network for colour ones is needed.")
    check_finite(descriptor.model.state_dict(), path)
    return Restorer(descriptor.eval())
