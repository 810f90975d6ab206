"""What a network is fed with, however others write that down: timm, torchvision, transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from timm.data.config import resolve_data_config
from torch import nn

from afdcli.errors import UnsupportedBackbone, WrongUse
from afdcli.models.from_timm import config_input
from afdcli.models.from_torchvision import preset_input
from afdcli.models.origin import Input
from afdcli.photos.preprocessing import Preprocessing

WARPED = 384
"""From this size on transformers' processor of ConvNeXt resizes whole images to squares, and crops nothing."""


def input_of(model: nn.Module, preprocessing: Any = None) -> Input:
    """What `model` is fed with: `preprocessing` is an `Input`; timm's config of data; torchvision's transforms, as from
    `weights.transforms()`; or transformers' image processor. None: what a model of timm says itself.

    Raises:
        WrongUse: `preprocessing` is none of these, or is missing.
        UnsupportedBackbone: a part of it is not supported; the sentence says which.
    """
    name = type(model).__name__
    if isinstance(preprocessing, Input):
        return preprocessing
    if preprocessing is None and isinstance(getattr(model, "pretrained_cfg", None), Mapping):
        return config_input(name, resolve_data_config({}, model=model))
    if isinstance(preprocessing, Mapping) and "input_size" in preprocessing:
        return config_input(name, preprocessing)
    if hasattr(preprocessing, "crop_size") and hasattr(preprocessing, "resize_size"):
        return preset_input(preprocessing)
    if hasattr(preprocessing, "image_mean") and hasattr(preprocessing, "to_dict"):
        return _of_processor(preprocessing.to_dict())
    found = "is missing" if preprocessing is None else f"cannot be a {type(preprocessing).__name__}"
    raise WrongUse(
        f"preprocessing {found}, which says how {name} is fed. Give weights.transforms() of torchvision, an image "
        "processor of transformers, timm's config of data, or afdcli.Input(afdcli.Preprocessing(size), mean, std)."
    )


def _of_processor(settings: Mapping[str, Any]) -> Input:
    """What an image processor of transformers with these settings feeds a network with."""
    for part in ("do_resize", "do_rescale", "do_normalize"):
        if not settings.get(part, True):
            raise UnsupportedBackbone(f"The image processor has {part} off: that is not supported yet.")
    size, crop = settings["size"], settings.get("crop_size") or {}
    resampling = Image.Resampling(settings.get("resample") or Image.Resampling.BICUBIC)
    short = _side(size)
    if settings.get("crop_pct") and short < WARPED:
        preprocessing = Preprocessing(short, settings["crop_pct"], resampling)
    elif settings.get("do_center_crop") and crop:
        preprocessing = Preprocessing(_side(crop), _side(crop) / short, resampling, squash="height" in size)
    elif "height" in size or settings.get("crop_pct"):
        preprocessing = Preprocessing(short, 1.0, resampling, squash=True)
    else:
        raise UnsupportedBackbone("The image processor crops nothing, so images keep their shapes: not supported yet.")
    return Input(preprocessing, tuple(settings["image_mean"]), tuple(settings["image_std"]))


def _side(size: Mapping[str, Any]) -> int:
    """The side of a square, or what the shorter side becomes."""
    height = size.get("height") or size.get("shortest_edge")
    if not height or height != (size.get("width") or height):
        raise UnsupportedBackbone(f"The image processor makes images of {dict(size)}: only squares are supported yet.")
    return int(height)
