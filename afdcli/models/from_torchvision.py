"""torchvision's classifiers by their names there, with the weights that it has for them."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any

import torch
import torchvision
from PIL import Image
from timm.data import ImageNetInfo
from torch import nn

from afdcli.errors import BackboneUnavailable, BadCheckpoint, UnsupportedBackbone
from afdcli.models.downloads import url_file
from afdcli.models.origin import Input, Pretrained
from afdcli.models.state_dicts import Architecture, read
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

TORCHVISION = "torchvision/"
"""What comes before torchvision's names."""
_TRANSFORMING = ("googlenet", "inception_v3")
"""Networks that torchvision has change their input with its own weights, and with no others."""
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""How the names in the published weights of DenseNets differ from those of the networks."""


class TorchvisionModel:
    """`torchvision/NAME`, where NAME is one of `torchvision.models.list_models()`."""

    def __init__(self, name: str) -> None:
        """Raises:
        BackboneUnavailable: torchvision has no such classifier.
        """
        self.name = name
        self._own = name.removeprefix(TORCHVISION)
        known = torchvision.models.list_models(module=torchvision.models)
        if self._own not in known:
            near = difflib.get_close_matches(self._own, known, 3, 0)
            hint = " or ".join(f"{TORCHVISION}{one}" for one in near)
            raise BackboneUnavailable(f"torchvision has no classifier '{self._own}'. Did you mean {hint}?")
        self._weights = torchvision.models.get_model_weights(self._own).DEFAULT
        self.architecture = Architecture(name, (self._head(),), self._build)

    def _head(self) -> str:
        """The name of the last layer with a row of weights for each class."""
        if self._own.startswith("regnet_"):  # which reckon with their widths as tensors, as the meta device cannot
            return "fc"
        with torch.device("meta"):
            model = torchvision.models.get_model(self._own, weights=None)
        rows = {name: module.weight.shape[0] for name, module in model.named_modules() if _is_linear(module)}
        last: str = [name for name, count in rows.items() if count == len(self._weights.meta["categories"])][-1]
        return last

    def _build(self, classes: int | None) -> nn.Module:
        if classes is None:
            return self._published()
        if self._own in _TRANSFORMING:
            raise UnsupportedBackbone(
                f"{self.name} may change its input before it looks at it, which no file of weights tells. Give no "
                "--backbone-checkpoint."
            )
        return torchvision.models.get_model(self._own, weights=None, num_classes=classes)  # type: ignore[no-any-return]

    def _published(self) -> nn.Module:
        """The network that torchvision's own weights are of, without them."""
        other: dict[str, Any] = {"transform_input": True, "init_weights": False} if self._own in _TRANSFORMING else {}
        return torchvision.models.get_model(self._own, weights=None, **other)  # type: ignore[no-any-return]

    def pretrained(self) -> Pretrained:
        """See `Origin`: those that torchvision calls its default."""
        try:
            path = url_file(self._weights.url)
        except BackboneUnavailable as error:
            raise BackboneUnavailable(
                f"The weights of {self.name} are not to be had. {error} Give a file with --backbone-checkpoint."
            ) from error
        model = self._published()
        tensors = {_OLD_DENSENET.sub(r"\1\2", name): one for name, one in read(path).parts[""].items()}
        try:
            model.load_state_dict(tensors)
        except RuntimeError:
            raise BadCheckpoint(f"'{path}' is damaged. Delete it, to have it downloaded again.") from None
        return Pretrained(model, (path,))

    def input(self, model: nn.Module) -> Input:
        """See `Origin`: what torchvision's own weights are evaluated with."""
        return preset_input(self._weights.transforms())

    def labels(self, model: nn.Module) -> Labels:
        """See `Origin`: those of torchvision's own weights, if they are as many as the classes; else indices."""
        names = self._weights.meta["categories"]
        classes = len(model.get_parameter(f"{self.architecture.heads[0]}.weight"))
        if classes != len(names):
            return Labels(tuple(map(str, range(classes))))
        return Labels(tuple(names), tuple(map(ImageNetInfo("imagenet-1k").index_to_label_name, range(classes))))


def preset_input(preset: Any) -> Input:
    """What torchvision's `preset` of transforms, an `ImageClassification`, feeds a network with.

    Raises:
        UnsupportedBackbone: its crops are not square.
    """
    if len({*preset.crop_size}) > 1 or len(preset.resize_size) > 1:
        raise UnsupportedBackbone("torchvision's transforms resize or crop to what is not square: not supported yet.")
    size, short = preset.crop_size[0], preset.resize_size[0]
    share = size / short
    if math.floor(size / share) < short:  # rounding
        share = math.nextafter(share, 0)
    resampling = getattr(Image.Resampling, preset.interpolation.name)
    return Input(Preprocessing(size, share, resampling), tuple(preset.mean), tuple(preset.std))


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)
