"""What a training begins with: a new module; or one that there is, as it is or narrowed."""

from __future__ import annotations

from collections.abc import Sequence

from afdcli.errors import WrongUse
from afdcli.methods import METHODS
from afdcli.models.backbones import Backbone
from afdcli.models.checkpoint import Checkpoint, check_backbone, load_checkpoint
from afdcli.models.classifier import find_weights
from afdcli.models.taps import default
from afdcli.options import TrainOptions
from afdcli.training.mixture import Part
from afdcli.training.peers import Peers
from afdcli.training.pruning import narrowed


def begin(options: TrainOptions, backbone: Backbone, photos: Sequence[Part], peers: Peers) -> Checkpoint:
    """What is trained, and where in `backbone`; `photos` judge which channels stay, where it is narrowed.

    Raises:
        WrongUse: there is no such module, it is of another method, or there is nothing in it to be narrowed.
        BadCheckpoint: the module cannot be read, or is for another backbone.
        UnsupportedBackbone: `backbone` has no such tap.
    """
    if options.weights == "none":
        return _new(options, backbone)
    path = find_weights(options.weights, backbone)
    if path is None:
        raise WrongUse(f"No module for {backbone.name} comes with afd. Leave out --weights, or give it a file.")
    checkpoint = load_checkpoint(path)
    check_backbone(checkpoint, backbone, path)
    if checkpoint.module.method != options.method:
        raise WrongUse(f"'{path}' is of another method. Add --method {checkpoint.module.method}.")
    return narrowed(checkpoint, backbone, photos, options, peers) if options.narrow else checkpoint


def _new(options: TrainOptions, backbone: Backbone) -> Checkpoint:
    method = METHODS[options.method]
    tap = method.tap if options.tap == "auto" else options.tap
    if tap == "auto":
        tap = default(backbone.model, backbone.survey, backbone.name)
    found = backbone.tap(tap)
    module = method.build(options, found.place.channels, found.widths)
    return Checkpoint(module, tap, backbone.name, backbone.fingerprint, input=backbone.input)
