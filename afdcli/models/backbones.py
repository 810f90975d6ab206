"""The classifiers that afd works with, with weights, preprocessing and labels, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from afdcli.errors import BackboneUnavailable, BadCheckpoint, WrongUse
from afdcli.methods.finite import check_finite
from afdcli.models import taps
from afdcli.models.from_timm import HUB_PREFIXES, HubModel, TimmModel
from afdcli.models.from_torchvision import TORCHVISION, TorchvisionModel
from afdcli.models.origin import Input, Origin
from afdcli.models.places import Survey, survey
from afdcli.models.state_dicts import fingerprint, model_from_file
from afdcli.photos.label_files import fitting, read_labels
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

LARGE = 40_000_000
"""Weights, from which on making them up takes long."""
CLASSES = 1000
"""Of a network that is only looked at."""


@dataclass(frozen=True)
class Backbone:
    """A frozen classifier with all that is needed to use it."""

    name: str
    """By which `load_backbone` finds it: timm's name of the architecture; `hf-hub:ORG/NAME`; or `torchvision/NAME`."""
    model: nn.Module
    """(B, 3, H, W) normalised -> (B, classes) logits."""
    preprocessing: Preprocessing
    """How a photo becomes an image of the size that `model` takes."""
    mean: tuple[float, ...]
    """The mean of each channel, for pixels in [0, 1], that normalising subtracts."""
    std: tuple[float, ...]
    """The standard deviation of each channel, for pixels in [0, 1], that normalising divides by."""
    labels: Labels
    """What the classes are called, in the order of the logits."""
    fingerprint: str
    """The SHA-256 of all weights and buffers, see `state_dicts.fingerprint`."""
    files: tuple[Path, ...] = ()
    """The files that weights and labels were read from; empty where these are not known."""
    part: str = ""
    """Where in a checkpoint the weights were, see `Filled`."""

    @property
    def input(self) -> Input:
        """What `model` is fed with."""
        return Input(self.preprocessing, self.mean, self.std)

    @cached_property
    def survey(self) -> Survey:
        """What can be a tap in `model`."""
        return survey(self.model, (self.preprocessing.size, self.preprocessing.size))

    def tap(self, name: str) -> taps.Tap:
        """The tap `name`, see `taps.find`.

        Raises:
            UnsupportedBackbone: there is none.
        """
        return taps.find(self.model, self.survey, name, self.name)


def load_backbone(
    name: str, checkpoint: Path | None = None, ema: str = "auto", label_names: Path | None = None
) -> Backbone:
    """The network `name` with weights from `checkpoint`, or else with those published for it; see `ModelOptions`.

    Raises:
        BackboneUnavailable: no such model, or no weights for it here, or it has no classes.
        BadCheckpoint: the file cannot be read, is of another model, or has NaN or infinity in it.
        UnsupportedBackbone: its preprocessing is not known here.
        WrongUse: the file of labels cannot be read, or has not as many as there are classes.
    """
    origin = origin_of(name)
    given = None if label_names is None else read_labels(label_names)
    part, one_logit = "", False
    if checkpoint is None:
        found = origin.pretrained()
        model, files, labels = found.model, found.files, None
    else:
        filled = model_from_file(origin.architecture, checkpoint, ema)
        model, files, labels = filled.model, (checkpoint,), filled.labels
        part, one_logit = filled.part, filled.one_logit
    check_finite(model.state_dict(), files[0])
    model.eval().requires_grad_(False)
    labels = labels or origin.labels(model)
    if len(labels.names) < 2:
        raise BackboneUnavailable(f"{origin.name} has no classes to tell apart: it gives features. Use another.")
    if given is not None and label_names is not None:
        try:
            labels, files = fitting(given, len(labels.names), one_logit=one_logit), (*files, label_names)
        except ValueError as error:
            raise WrongUse(f"--labels '{label_names}' does not fit {origin.name}: {error}.") from None
    wanted = origin.input(model)
    if checkpoint is not None:
        check_answers(model, wanted.preprocessing.size, checkpoint)
    return Backbone(
        name=origin.name,
        model=model,
        preprocessing=wanted.preprocessing,
        mean=wanted.mean,
        std=wanted.std,
        labels=labels,
        fingerprint=fingerprint(model.state_dict()),
        files=files,
        part=part,
    )


def check_answers(model: nn.Module, size: int, source: Path) -> None:
    """Check that `model`, with the weights of `source`, gives numbers: sums of finite ones need not be finite.

    Raises:
        BadCheckpoint: it does not, for noise of `size` x `size` pixels.
    """
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        if not model(noise).isfinite().all():
            raise BadCheckpoint(
                f"'{source}' is of a network that gives NaN or infinity for any photo: its weights are too large, or a "
                "variance in it is negative. Get it again, or train it again with a lower learning rate."
            )


def untrained_backbone(name: str, wanted: Input | None = None) -> Backbone:
    """The network `name` with random weights: in seconds, whatever its size. A large one has none, but shapes only.

    It is fed with what is `wanted`, or else with what is published.

    Raises:
        BackboneUnavailable: there is no such model.
        UnsupportedBackbone: its preprocessing is not known here.
    """
    origin = origin_of(name)
    try:
        with torch.device("meta"):
            model = origin.architecture.build(CLASSES)
        is_large = sum(parameter.numel() for parameter in model.parameters()) > LARGE
    except Exception:  # torchvision's RegNets reckon with numbers that the meta device has not
        is_large = False
    if not is_large:
        model = origin.architecture.build(CLASSES)
    model.eval().requires_grad_(False)
    wanted = wanted or origin.input(model)
    return Backbone(origin.name, model, wanted.preprocessing, wanted.mean, wanted.std, Labels(()), fingerprint="")


def origin_of(name: str) -> Origin:
    """Where the network `name` comes from.

    Raises:
        BackboneUnavailable: there is none of that name.
    """
    if name.startswith(TORCHVISION):
        return TorchvisionModel(name)
    if name.startswith(HUB_PREFIXES) or "/" in name:
        return HubModel(name)
    return TimmModel(name)
