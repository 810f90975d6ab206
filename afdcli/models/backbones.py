"""The classifiers that afd works with: any timm model, with its weights, its preprocessing and its labels."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.data.config import resolve_data_config
from torch import nn

from afdcli.errors import BackboneUnavailable, UnsupportedBackbone
from afdcli.methods.finite import check_finite
from afdcli.models import taps
from afdcli.models.places import Survey, survey
from afdcli.models.state_dicts import PACKAGES, downloaded_model, fingerprint, model_from_file, packaged_model
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

LARGE = 40_000_000
"""Weights, from which on making them up takes long."""


@dataclass(frozen=True)
class Backbone:
    """A frozen classifier with all that is needed to use it."""

    name: str
    """timm's name of the architecture."""
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
    """The files that the weights were read from; empty where these are not known."""

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


def load_backbone(name: str, checkpoint: Path | None = None) -> Backbone:
    """The timm model `name` with weights from `checkpoint`, or else from its package, or else from timm's download.

    Raises:
        BackboneUnavailable: no such model, or no weights for it here.
        BadCheckpoint: the file cannot be read, is of another model, or has NaN or infinity in it.
        UnsupportedBackbone: its preprocessing is not known here.
    """
    _check_name(name)
    labels, file = None, checkpoint
    if checkpoint is not None:
        model, labels = model_from_file(name, checkpoint)
    elif name in PACKAGES:
        model, file = packaged_model(name)
    else:
        model, file = downloaded_model(name)
    check_finite(model.state_dict(), file or name)
    model.eval().requires_grad_(False)
    config = resolve_data_config({}, model=model)
    return Backbone(
        name=name,
        model=model,
        preprocessing=_preprocessing(name, config),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        labels=labels or _labels(model),
        fingerprint=fingerprint(model.state_dict()),
        files=() if file is None else (file,),
    )


def untrained_backbone(name: str) -> Backbone:
    """The timm model `name` with random weights: in seconds, whatever its size. A large one has none, but shapes only.

    Raises:
        BackboneUnavailable: there is no such model.
        UnsupportedBackbone: its preprocessing is not known here.
    """
    _check_name(name)
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name)
    if sum(parameter.numel() for parameter in model.parameters()) < LARGE:
        model = timm.create_model(name)
    model.eval().requires_grad_(False)
    config = resolve_data_config({}, model=model)
    numbers = tuple(config["mean"]), tuple(config["std"])
    return Backbone(name, model, _preprocessing(name, config), *numbers, Labels(()), fingerprint="")


def _check_name(name: str) -> None:
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*PACKAGES, *timm.list_models()], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else " timm.list_models() lists them."
        raise BackboneUnavailable(f"timm has no model '{name}'.{hint}")


def _preprocessing(name: str, config: Mapping[str, Any]) -> Preprocessing:
    _, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    if height != width or mode == "border":
        raise UnsupportedBackbone(f"{name} wants images of {width} x {height}, cropped by '{mode}': not supported yet.")
    return Preprocessing(
        size=height,
        crop_pct=config["crop_pct"],
        interpolation=getattr(Image.Resampling, config["interpolation"].upper()),
        squash=mode == "squash",
    )


def _labels(model: Any) -> Labels:
    """ImageNet's names, if the model has the classes of one of ImageNet's sets; else the indices."""
    subset = infer_imagenet_subset(model)
    if subset is None:
        return Labels(tuple(map(str, range(model.num_classes))))
    info = ImageNetInfo(subset)
    indices = range(info.num_classes())
    return Labels(tuple(map(info.index_to_description, indices)), tuple(map(info.index_to_label_name, indices)))
