"""One network from pixels to logits, with a de-drifting module inside; and where it is loaded from."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from afdcli.errors import BadCheckpoint, WrongUse
from afdcli.formats.exports import Graph
from afdcli.methods.finite import check_finite
from afdcli.methods.remedy import Outputs, Remedy
from afdcli.methods.restore import Restorer, load_restorer
from afdcli.models.backbones import Backbone, load_backbone
from afdcli.models.checkpoint import Checkpoint, ForeignCheckpoint, check_backbone, load_checkpoint
from afdcli.models.description import DRIFT, PIXELS, PROBABILITIES, QUALITY, Description
from afdcli.models.passage import Passage
from afdcli.models.places import logits_of
from afdcli.models.visits import Arrival, Arrived, Recording, Visit
from afdcli.options import ModelOptions

PACKAGE = Path(__file__).parents[1]
SHIPPED = (PACKAGE / "weights", PACKAGE.parent / "weights")
"""The folders in which the modules that come with afd are: as installed, and as in its repository."""


class DedriftedClassifier(nn.Module):
    """A frozen backbone with, or without, a module that undoes what compression did, see `Remedy`."""

    engine = "torch"
    """What runs this classifier, see `Engine`."""
    threads = 0
    """Batches are run in the main thread: in others torch gets fresh memory all the time, see `Engine`."""
    mean: Tensor
    std: Tensor
    """(1, 3, 1, 1) each: what normalising subtracts from pixels in [0, 1], and then divides by."""

    def __init__(self, backbone: Backbone, module: Remedy | None = None, tap: str = "stem") -> None:
        """A classifier of the weights of `backbone`, shared and not copied, with `module` at `tap`, see `models.taps`.

        Raises:
            UnsupportedBackbone: `backbone` has no such tap.
        """
        super().__init__()
        self.backbone = backbone
        self.module = module
        self.weights_sha256 = "none"
        """The SHA-256 of the file that the module is from; `none` if there is none."""
        self.files = backbone.files
        """What all this was read from, and where else a module was looked for; empty where that is not known."""
        self.precision = "float32"
        """What `predict_topk` computes in, `float32` or `bfloat16`, see `ModelOptions`."""
        self._together = sys.maxsize
        """How many images memory is enough for, as far as is known."""
        self.network = backbone.model if module is None else Passage(backbone.model, backbone.tap(tap))
        """From normalised images to logits."""
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    @property
    def about(self) -> Description:
        """What this classifier is, apart from its network."""
        backbone, module = self.backbone, self.module
        return Description(
            backbone=backbone.name,
            backbone_sha256=backbone.fingerprint,
            backbone_part=backbone.part,
            weights_sha256=self.weights_sha256,
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
            return self._logits(images), None
        visit = Visit(self.module, images, quality)
        logits = self._logits(visit.restored, visit)
        return logits, None if visit.drift is None else self.module.drift_of(visit.drift).mean((1, 2))

    def outputs(self, images: Tensor, quality: Tensor | None = None) -> Outputs:
        """All that becomes of `images` and their `quality`, as for `predict`; there must be a module."""
        assert self.module is not None
        visit = Recording(self.module, images, quality)
        logits = self._logits(visit.restored, visit)
        return Outputs(visit.restored, visit.features, visit.stages, logits, visit.found, visit.drift)

    def features(self, images: Tensor) -> Tensor:
        """The features (B, C, h, w) at the tap, not de-drifted, of `images` (B, 3, H, W), RGB in [0, 1]."""
        try:
            self._logits(images, Arrival(Remedy(), images))
        except Arrived as arrived:
            return arrived.features
        raise AssertionError("All goes through the tap.")

    def _logits(self, images: Tensor, *visit: Visit) -> Tensor:
        return logits_of(self.network((images - self.mean) / self.std, *visit))

    def to_tensor(self, pixels: np.ndarray) -> Tensor:
        """Images (B, 3, H, W) float32 in [0, 1], on this classifier's device, from `pixels` (B, H, W, 3) uint8 RGB."""
        return torch.from_numpy(pixels).to(self.mean.device).permute(0, 3, 1, 2).float() / 255  # channels last: faster

    def predict_topk(
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
                parts.append(self._topk(pixels[images], k, None if quality is None else quality[images]))
                begin = images.stop
            except torch.OutOfMemoryError:
                self._together = min(self._together, len(pixels) - begin) // 2
                if self._together == 0:
                    raise
        index, probability, drift = zip(*parts, strict=True)
        return np.concatenate(index), np.concatenate(probability), None if drift[0] is None else np.concatenate(drift)

    @torch.inference_mode()
    def _topk(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        known = None if quality is None else torch.from_numpy(quality).float().to(self.mean.device)
        with torch.autocast(self.mean.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits, drift = self.predict(self.to_tensor(pixels), known)
        probability, index = logits.float().softmax(1).topk(k)
        return index.cpu().numpy(), probability.cpu().numpy(), None if drift is None else drift.float().cpu().numpy()

    def added_parameters(self) -> int:
        """How many numbers the module has that were trained."""
        return sum(parameter.numel() for parameter in self.module.parameters()) if self.module is not None else 0

    @torch.inference_mode()
    def added_macs(self) -> int:
        """How many multiply-adds the module adds for one image: those of convolutions and products of matrices."""
        size, counts = self.backbone.preprocessing.size, []
        for network in (self, DedriftedClassifier(self.backbone).to(self.mean.device)):
            with FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, 3, size, size, device=self.mean.device))
            counts.append(counter.get_total_flops() // 2)
        return int(counts[0] - counts[1])

    def graph(self) -> Graph:
        """This classifier, which must be on the processor, as files have it: see `FromPixels`.

        Its weights are shared, not copied.
        """
        size, about = self.backbone.preprocessing.size, self.about
        examples = {PIXELS: torch.zeros(2, size, size, 3, dtype=torch.uint8), QUALITY: torch.full((2,), torch.nan)}
        inputs = {name: examples[name] for name in about.inputs}
        return Graph(FromPixels(self).eval(), inputs, about.outputs, json.dumps(about.to_json()))


class FromPixels(nn.Module):
    """A classifier that takes pixels as they come from a decoder, and gives probabilities, with all between inside."""

    def __init__(self, classifier: DedriftedClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor, quality: Tensor | None = None) -> tuple[Tensor, ...]:
        """Probabilities (B, classes) of `pixels` (B, H, W, 3), uint8 RGB, and, if it is estimated, the drift (B,).

        `quality` is as for `DedriftedClassifier.predict`.
        """
        logits, drift = self.classifier.predict(pixels.permute(0, 3, 1, 2).float() / 255, quality)
        probabilities = logits.softmax(1)
        return (probabilities,) if drift is None else (probabilities, drift)


def load_classifier(options: ModelOptions, weights: str = "none") -> DedriftedClassifier:
    """The classifier that `options` describe, with the de-drifting module `weights`, ready on its device.

    `weights` are as for `find_weights`. The module is folded here if it is not yet.

    Raises:
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_backbone` and `load_checkpoint`.
        WrongUse: there is no such device.
    """
    device = pick_device(options.device)
    backbone = load_backbone(options.backbone, options.backbone_checkpoint, options.ema, options.label_names)
    path = find_weights(weights, backbone)
    if path is None:
        classifier = DedriftedClassifier(backbone)
    else:
        classifier = _load(path, backbone)
        assert classifier.module is not None
        classifier.module = classifier.module.folded()
        check_finite(classifier.module.state_dict(), path)  # products of finite weights may be infinite
        classifier.weights_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    classifier.precision = options.precision
    classifier.files = backbone.files and (*backbone.files, *_candidates(weights, backbone.name))
    return classifier.eval().to(device).to(memory_format=torch.channels_last)


def with_module(checkpoint: Checkpoint, backbone: Backbone, path: Path) -> DedriftedClassifier:
    """`backbone` with the module of `checkpoint`, from `path`, and with what that changed in the backbone itself.

    Raises:
        BadCheckpoint: it is for another backbone, or another place in it.
    """
    check_backbone(checkpoint, backbone, path)
    tap = backbone.tap(checkpoint.tap)
    if not checkpoint.module.fits(tap.place.channels, tap.widths):
        raise BadCheckpoint(f"'{path}' is for a place of another shape than '{tap.place.name}'. Train it anew.")
    return DedriftedClassifier(checkpoint.trained(backbone), checkpoint.module, checkpoint.tap)


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
