"""`afd fuse`: fold a module into single convolutions, and prove it equal on real photos before it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from afdcli.errors import BadCheckpoint
from afdcli.machines.locks import Lock
from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import load_checkpoint, save_checkpoint
from afdcli.models.classifier import DedriftedClassifier, with_module
from afdcli.options import FuseOptions
from afdcli.photos.samples import read_some
from afdcli.photos.sources import Sources
from afdcli.results.record import check_may_write

PROGRAM = "afd fuse"
TOLERANCE = 1e-4
"""How far an output of the folded module may be from the module's, at most, over the largest output."""
PHOTOS = 16
"""How many of the photos are compared, at most."""


@dataclass(frozen=True)
class Fused:
    """What folding changed."""

    difference: float
    """The largest difference between the outputs, over the largest output: over all photos, places and channels."""
    parameters: tuple[int, int]
    """How many numbers the module has, before and after folding."""
    macs: tuple[int, int]
    """Multiply-adds for one image, before and after."""
    photos: int
    """How many photos were compared."""


def fuse(options: FuseOptions) -> Fused:
    """Fold the module in `options.source` into `options.destination`.

    Raises:
        WrongUse: none of the photos can be read.
        OutputRefused: the destination cannot be written, or must not be replaced, or another process is writing it.
        BadCheckpoint: the source cannot be read, or is folded already, or would not be the same: nothing is written.
    """
    with Lock(options.destination):
        return _fuse(options)


def _fuse(options: FuseOptions) -> Fused:
    inputs = (options.source, *options.photos, options.backbone_checkpoint)
    check_may_write([options.destination], PROGRAM, overwrite=options.overwrite, inputs=inputs, flag="OUT")
    checkpoint = load_checkpoint(options.source)
    if checkpoint.module.is_folded:
        raise BadCheckpoint(f"'{options.source}' has nothing to fold, or not any more. Use it as it is.")
    backbone = load_backbone(checkpoint.backbone, options.backbone_checkpoint, options.ema)
    classifier = with_module(checkpoint, backbone, options.source).eval()
    module, folded = checkpoint.module, checkpoint.module.folded().eval()
    after_folding = DedriftedClassifier(classifier.backbone, folded, checkpoint.tap)
    photos = read_some(Sources(options.photos), PHOTOS, options.read, backbone.preprocessing)
    difference = largest = 0.0
    with torch.inference_mode():
        for photo in photos:
            assert photo.pixels is not None
            images = classifier.to_tensor(photo.pixels[None])
            features = classifier.features(images)
            before, after = module.mend(features, images)[0], folded.mend(features, images)[0]
            difference = float(np.maximum(difference, float((before - after).abs().max())))  # max() would lose NaN
            largest = max(largest, float(before.abs().max()))
        fused = Fused(
            difference / largest if largest else difference,
            (classifier.added_parameters(), after_folding.added_parameters()),
            (classifier.added_macs(), after_folding.added_macs()),
            len(photos),
        )
    if not fused.difference <= TOLERANCE:
        raise BadCheckpoint(
            f"Folding '{options.source}' would change its outputs by {fused.difference:.1e} of the largest one, more "
            f"than {TOLERANCE:.0e}. Nothing was written."
        )
    save_checkpoint(replace(checkpoint, module=folded), options.destination, PROGRAM)
    return fused
