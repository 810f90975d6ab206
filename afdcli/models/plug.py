"""Any classifier of torch with a module inside: of torchvision, of transformers, or anybody's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from afdcli.errors import BadCheckpoint, UnsupportedBackbone
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import Backbone
from afdcli.models.checkpoint import Checkpoint, load_checkpoint
from afdcli.models.inputs import input_of
from afdcli.models.passage import Passage
from afdcli.models.state_dicts import fingerprint
from afdcli.models.twins import changed_twin
from afdcli.models.visits import Visit
from afdcli.photos.labels import Labels


class Plugged(nn.Module):
    """A classifier that is called, and answers, as the one that it was made of, with a module inside."""

    mean: Tensor
    std: Tensor
    """(1, 3, 1, 1) each: what normalising has subtracted from pixels in [0, 1], and then divided by."""

    def __init__(self, backbone: Backbone, module: Remedy, tap: str) -> None:
        super().__init__()
        self.module = module
        self.network = Passage(backbone.model, backbone.tap(tap))
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Any:
        """What the classifier gives for `images` (B, 3, H, W), normalised as it takes them."""
        pixels = images * self.std + self.mean
        visit = Visit(self.module, pixels)
        restored = images if visit.restored is pixels else (visit.restored - self.mean) / self.std
        return self.network(restored, visit)


def plug(
    model: nn.Module,
    module: Remedy | Checkpoint | str | os.PathLike[str],
    tap: str | None = None,
    preprocessing: Any = None,
) -> nn.Module:
    """`model` with a module inside, to be called as `model` is; `model` itself is left as it is.

    `module` is the file of one, what `train_module` gives, or a module itself. `tap` is where it goes, see `afd train
    --tap`, and `preprocessing` how `model` is fed, see `input_of`: both are known of files. Weights are frozen, and
    share their memory with those of `model` as long as neither is moved to another device.

    Raises:
        BadCheckpoint: the file cannot be read, is for another classifier or other weights, or another place.
        UnsupportedBackbone: there is no such tap, or a part of the preprocessing is not supported.
        WrongUse: it is not known how `model` is fed.
    """
    if isinstance(module, str | os.PathLike):
        module = load_checkpoint(Path(module))
    if isinstance(module, Remedy):
        return _plugged(backbone_of(model, preprocessing), module, tap or "auto")
    backbone = backbone_of(model, module.input if preprocessing is None else preprocessing)
    if module.fingerprint != backbone.fingerprint:
        raise BadCheckpoint(f"The module was trained for other weights, of {module.backbone}. Train one for these.")
    return _plugged(module.trained(backbone), module.module, tap or module.tap)


def _plugged(backbone: Backbone, module: Remedy, tap: str) -> Plugged:
    found = backbone.tap(tap)
    if not module.fits(found.place.channels, found.widths):
        raise BadCheckpoint(f"The module is for a place of another shape than '{found.place.name}'. Give its own tap.")
    return Plugged(backbone, module.folded(), tap).eval()


def backbone_of(model: nn.Module, preprocessing: Any = None) -> Backbone:
    """`model`, frozen and in evaluation mode, for afd; `preprocessing` is as for `input_of`.

    Raises:
        UnsupportedBackbone: it does not classify such images, or a part of the preprocessing is not supported.
        WrongUse: it is not known how it is fed.
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    name = config.get("architecture") or f"{type(model).__module__}.{type(model).__qualname__}"
    wanted = input_of(model, preprocessing)
    frozen = changed_twin(model, Tensor.detach).eval()
    state = fingerprint({key: value.cpu() for key, value in model.state_dict().items()})
    backbone = Backbone(name, frozen, wanted.preprocessing, wanted.mean, wanted.std, Labels(()), state)
    try:
        backbone.survey  # noqa: B018  # it is kept
    except Exception as error:  # Networks of strangers raise anything.
        size, reason = wanted.preprocessing.size, (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedBackbone(f"{name} does not classify images of {size} x {size} pixels: {reason}.") from error
    return backbone
