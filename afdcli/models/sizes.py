"""Other sizes of images than those that a network was trained with, where its family allows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from afdcli.errors import UnsupportedBackbone
from afdcli.models.backbones import Backbone


def sized(backbone: Backbone, size: int) -> Backbone:
    """`backbone`, fed with images of `size` by `size` pixels; 0: as it is. Its weights, and their fingerprint, stay.

    Convolutions take any size. Transformers of timm have embeddings of position, which they themselves interpolate.

    Raises:
        UnsupportedBackbone: it does not take such images.
    """
    if size in (0, backbone.preprocessing.size):
        return backbone
    model: Any = backbone.model
    try:
        if hasattr(model, "set_input_size"):
            model.set_input_size(img_size=(size, size))
            model.requires_grad_(False)
        fed = replace(backbone, preprocessing=replace(backbone.preprocessing, size=size))
        fed.survey  # noqa: B018  # it runs such an image, and is kept
    except Exception as error:  # Networks raise anything on what they cannot take.
        own, reason = backbone.preprocessing.size, " ".join((str(error) or type(error).__name__).split())
        raise UnsupportedBackbone(
            f"{backbone.name} takes no images of {size} x {size} pixels ({reason[:100]}). Leave out --size, its own are"
            f" of {own} x {own}; or try a multiple of 32."
        ) from error
    return fed
