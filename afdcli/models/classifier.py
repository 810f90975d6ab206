"""One network from pixels to logits: normalise -> stem -> de-drifting module -> tail."""

from __future__ import annotations

import hashlib
import sys
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from afdcli.errors import WrongUse
from afdcli.methods.remedy import Outputs, Remedy
from afdcli.methods.restore import Restorer, load_restorer
from afdcli.models.backbones import Backbone, Tail, load_backbone, split
from afdcli.models.checkpoint import Checkpoint, ForeignCheckpoint, check_backbone, load_checkpoint
from afdcli.models.description import DRIFT, PIXELS, PROBABILITIES, QUALITY, Description
from afdcli.options import ModelOptions

PACKAGE = Path(__file__).parents[1]
SHIPPED = (PACKAGE / "weights", PACKAGE.parent / "weights")
"""Where the modules are that come with afd: as installed, and as in its repository."""


class DedriftedClassifier(nn.Module):
    """A frozen backbone with, or without, a module that undoes what compression did, see `Remedy`."""

    engine = "torch"
    lanes = 0
    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, module: Remedy | None = None, tap: str = "stem") -> None:
        """`module`, if there is one, goes to `tap`."""
        super().__init__()
        self.backbone = backbone
        self.module = module
        self.weights = "none"
        """The SHA-256 of the file that the module is from; `none` if there is none."""
        self.files = backbone.files
        """What all this was read from, and where else a module was looked for; empty where that is not known."""
        self.precision = "float32"
        """What `top` computes in, see `ModelOptions`."""
        self._together = sys.maxsize
        """How many images memory is enough for, as far as is known."""
        self.stem: nn.Module = nn.Identity()
        self.tail: nn.Module = backbone.model
        if module is not None:
            cut = split(backbone, tap)
            self.stem, self.tail = cut.stem, cut.tail
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    @property
    def about(self) -> Description:
        """What it is."""
        backbone, module = self.backbone, self.module
        return Description(
            backbone=backbone.name,
            backbone_sha256=backbone.fingerprint,
            weights_sha256=self.weights,
            method="none" if module is None else module.method,
            config=None if module is None or not module.compilable else asdict(module.config),
            inputs=(PIXELS, QUALITY) if module is not None and module.uses_quality else (PIXELS,),
            outputs=(PROBABILITIES, DRIFT) if module is not None and module.estimates_drift else (PROBABILITIES,),
            preprocessing=backbone.preprocessing,
            labels=backbone.labels,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of `images` (B, 3, H, W), RGB in [0, 1]."""
        return self.predict(images)[0]

    def predict(self, images: Tensor, quality: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What `forward` gives, and the mean of each image's drift map (B,), see `Description`; None if there is none.

        `quality` (B,) is the JPEG quality factor of the files, NaN where it is not known.
        """
        if self.module is None:
            return self.tail(self.features(images)), None
        found = self.features(self.module.restore(images))
        features, drift = self.module.mend(found, images, quality)
        logits = self.tail(features, partial(self.module.correct, drift))
        return logits, None if drift is None else drift.mean((1, 2, 3))

    def outputs(self, images: Tensor, quality: Tensor | None = None) -> Outputs:
        """All that becomes of `images` and their `quality`, as for `predict`; there must be a module."""
        assert self.module is not None and isinstance(self.tail, Tail)
        restored = self.module.restore(images)
        found = self.features(restored)
        features, drift = self.module.mend(found, images, quality)
        *stages, logits = self.tail.stages(features, partial(self.module.correct, drift))
        return Outputs(restored, features, stages, logits, found, drift)

    def features(self, images: Tensor) -> Tensor:
        """The features at the tap, not de-drifted, of `images` (B, 3, H, W), RGB in [0, 1]."""
        return self.stem((images - self.mean) / self.std)  # type: ignore[no-any-return]

    def images(self, pixels: np.ndarray) -> Tensor:
        """(B, 3, H, W) in [0, 1] on this classifier's device, of `pixels` (B, H, W, 3), uint8 in [0, 255]."""
        images = torch.from_numpy(pixels).to(self.mean.device)
        return images.permute(0, 3, 1, 2).float() / 255  # channels last: faster throughout

    def top(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The `k` most probable classes of `pixels` (B, H, W, 3), uint8 in [0, 255]; `quality` is as for `predict`.

        Where memory is short, fewer images go through the network together, now and from now on.

        Returns their indices (B, k), most probable first, their probabilities (B, k) in [0, 1], and each image's mean
        drift (B,), or None without a module.

        Raises:
            torch.OutOfMemoryError: there is not enough even for one image.
        """
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []
        begin = 0
        while begin < len(pixels):
            images = slice(begin, begin + self._together)
            try:
                parts.append(self._top(pixels[images], k, None if quality is None else quality[images]))
                begin = images.stop
            except torch.OutOfMemoryError:
                self._together = min(self._together, len(pixels) - begin) // 2
                if self._together == 0:
                    raise
        index, probability, drift = zip(*parts, strict=True)
        return np.concatenate(index), np.concatenate(probability), None if drift[0] is None else np.concatenate(drift)

    @torch.inference_mode()
    def _top(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        known = None if quality is None else torch.from_numpy(quality).float().to(self.mean.device)
        with torch.autocast(self.mean.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits, drift = self.predict(self.images(pixels), known)
        probability, index = logits.float().softmax(1).topk(k)
        return index.cpu().numpy(), probability.cpu().numpy(), None if drift is None else drift.float().cpu().numpy()

    def added_parameters(self) -> int:
        """Those of the module."""
        return sum(parameter.numel() for parameter in self.module.parameters()) if self.module is not None else 0

    @torch.inference_mode()
    def added_macs(self) -> int:
        """Multiply-adds for one image that the module costs, in convolutions and products of matrices: nearly all."""
        size, counts = self.backbone.preprocessing.size, []
        for network in (self, DedriftedClassifier(self.backbone).to(self.mean.device)):
            with FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 3, size, size, device=self.mean.device))
            counts.append(counter.get_total_flops() // 2)
        return int(counts[0] - counts[1])


def load_classifier(options: ModelOptions, weights: str = "none") -> DedriftedClassifier:
    """The classifier that `options` describe, with the de-drifting module `weights`, ready on its device.

    `weights` are as for `find_weights`. The module is folded here if it is not yet.

    Raises:
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_backbone` and `load_checkpoint`.
        WrongUse: there is no such device.
    """
    device = pick_device(options.device)
    backbone = load_backbone(options.backbone, options.backbone_checkpoint)
    path = find_weights(weights, backbone)
    if path is None:
        classifier = DedriftedClassifier(backbone)
    else:
        classifier = _load(path, backbone)
        assert classifier.module is not None
        classifier.module = classifier.module.folded()
        classifier.weights = hashlib.sha256(path.read_bytes()).hexdigest()
    classifier.precision = options.precision
    classifier.files = backbone.files and (*backbone.files, *_candidates(weights, backbone.name))
    return classifier.eval().to(device).to(memory_format=torch.channels_last)


def with_module(checkpoint: Checkpoint, backbone: Backbone, path: Path) -> DedriftedClassifier:
    """`backbone` with the module of `checkpoint`, from `path`, and with what that changed in the backbone itself.

    Raises:
        BadCheckpoint: it is for another backbone.
    """
    check_backbone(checkpoint, backbone, path)
    if checkpoint.changed:
        model = deepcopy(backbone.model)
        model.load_state_dict(checkpoint.changed, strict=False)
        backbone = replace(backbone, model=model)
    return DedriftedClassifier(backbone, checkpoint.module, checkpoint.tap)


def _load(path: Path, backbone: Backbone) -> DedriftedClassifier:
    """`backbone` with what is in the file at `path`: a module of afd, or a network that restores images."""
    if path.suffix.lower() == ".pth" and path.exists():
        return DedriftedClassifier(backbone, load_restorer(path), Restorer.tap)
    try:
        return with_module(load_checkpoint(path), backbone, path)
    except ForeignCheckpoint:
        return DedriftedClassifier(backbone, load_restorer(path), Restorer.tap)


def find_weights(weights: str, backbone: Backbone) -> Path | None:
    """The file that `weights` stand for: a path; or `none`; or `auto`, the module shipped for `backbone`, if any.

    A module is for one backbone with one set of weights. So for a fine-tuned backbone `auto` is none, too.
    """
    for path in _candidates(weights, backbone.name):
        if weights != "auto" or (path.exists() and load_checkpoint(path).fingerprint == backbone.fingerprint):
            return path
    return None


def _candidates(weights: str, backbone: str) -> list[Path]:
    """The files that `weights` may stand for."""
    if weights == "auto":
        return [folder / f"{backbone}.safetensors" for folder in SHIPPED]
    return [] if weights == "none" else [Path(weights)]


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
