"""One network from pixels to logits: normalise -> stem -> de-drifting module -> tail."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from afdcli.backbones import Backbone, load_backbone, split
from afdcli.errors import WrongUse
from afdcli.options import ModelOptions


class DedriftedClassifier(nn.Module):
    """A frozen backbone with, or without, a module that undoes what compression did to the stem's features."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, module: nn.Module | None = None, tap: str = "stem") -> None:
        """`module`, if there is one, takes the features at `tap`, and the images, and gives the features mended."""
        super().__init__()
        self.backbone = backbone
        self.module = module
        self.stem: nn.Module = nn.Identity()
        self.tail: nn.Module = backbone.model
        if module is not None:
            cut = split(backbone, tap)
            self.stem, self.tail = cut.stem, cut.tail
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of `images` (B, 3, H, W), RGB in [0, 1]."""
        features = self.features(images)
        if self.module is not None:
            features = self.module(features, images)
        return self.tail(features)  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        """The features at the tap, not de-drifted, of `images` (B, 3, H, W), RGB in [0, 1]."""
        return self.stem((images - self.mean) / self.std)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def top(self, pixels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The `k` most probable classes of `pixels` (B, H, W, 3), uint8 in [0, 255].

        Returns their indices (B, k), most probable first, and their probabilities (B, k) in [0, 1].
        """
        images = torch.from_numpy(pixels).to(self.mean.device).permute(0, 3, 1, 2)  # channels last: faster throughout
        probability, index = self(images.float() / 255).softmax(1).topk(k)
        return index.cpu().numpy(), probability.cpu().numpy()


def load_classifier(options: ModelOptions, weights: str = "none") -> DedriftedClassifier:
    """The classifier that `options` describe, with the de-drifting module `weights`, ready on its device.

    `auto` is the module shipped for the backbone. None is shipped yet, so it is the plain backbone, like `none`.

    Raises:
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_backbone`.
        WrongUse: there is no such device, or `weights` is something else.
    """
    if weights not in ("auto", "none"):
        raise WrongUse(f"--weights takes auto or none, not '{weights}'. This version reads no module from a file.")
    device = pick_device(options.device)
    classifier = DedriftedClassifier(load_backbone(options.backbone, options.backbone_checkpoint)).eval()
    return classifier.to(device).to(memory_format=torch.channels_last)


def pick_device(name: str) -> torch.device:
    """The device that `ModelOptions.device` stands for.

    Raises:
        WrongUse: there is none such.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError):  # torch asserts where it was built without the device
        raise WrongUse(f"There is no device '{name}' here. Use --device cpu, or auto.") from None
    return device
