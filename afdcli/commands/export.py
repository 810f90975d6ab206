"""`afd export`: the classifier, module and all, as one file for others to run, compared on photos before it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from afdcli import atomic
from afdcli.errors import ParityError, WrongUse
from afdcli.formats.exports import EXPORTS
from afdcli.formats.marks import EXPORT
from afdcli.machines.hardware import processors_allowed
from afdcli.machines.locks import Lock
from afdcli.models.classifier import load_classifier
from afdcli.options import ExportOptions
from afdcli.photos.samples import read_some
from afdcli.photos.sources import Sources
from afdcli.results.record import check_may_write

TOLERANCE = 1e-3
"""How far a probability of the file may be from the classifier's, at most."""
SAME_CLASS = 0.998
"""The share of the photos that must get the same most probable class from both."""
PHOTOS = 500
"""How many of the photos are compared, at most."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is to the classifier in torch, in float32."""

    files: tuple[Path, ...]
    """What was written: the output, and what lies beside it."""
    size: int
    """Bytes of all files."""
    photos: int
    """How many photos were compared."""
    same_class: int
    """How many of the photos get the same most probable class from both."""
    difference: float
    """The largest difference between two probabilities, over all photos and classes."""


def export(options: ExportOptions) -> Exported:
    """Write the classifier of `options` to `options.output`.

    Raises:
        WrongUse: what it takes is not installed, the module cannot be exported, or none of the photos can be read.
        OutputRefused: a file cannot be written, or must not be replaced, or is being written by another afd.
        ParityError: the file gives something else. Nothing is written.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
    """
    with Lock(options.output):
        return _export(options)


def _export(options: ExportOptions) -> Exported:
    paths = [options.output, *([options.output.with_suffix(".bin")] if options.format == "openvino" else [])]
    inputs = (*options.photos, options.weights, *options.model.files)
    check_may_write(paths, EXPORT, overwrite=options.overwrite, inputs=inputs, flag="OUT")
    format_ = EXPORTS[options.format]
    if not format_.is_installed():
        raise WrongUse(f"{options.format} is not installed. Install it with: pip install {format_.install}")
    classifier = load_classifier(options.model, options.weights)
    if classifier.module is not None and not classifier.module.compilable:
        raise WrongUse(f"'{options.weights}' is a network from elsewhere, and cannot be exported with the classifier.")
    photos = read_some(Sources(options.photos), PHOTOS, options.read, classifier.backbone.preprocessing)
    with atomic.files(options.output.parent) as scratch:
        fresh = scratch / options.output.name
        format_.save(classifier.graph(), fresh)
        run = format_.load(fresh, "float32", processors_allowed())
        uses_quality = classifier.about.uses_quality
        same, difference = 0, 0.0
        for photo in photos:
            quality = np.array([photo.quality or np.nan], dtype=np.float32)
            assert photo.pixels is not None
            pixels = photo.pixels[None]
            with torch.inference_mode():
                logits, _ = classifier.predict(classifier.to_tensor(pixels), torch.from_numpy(quality))
            expected = logits.softmax(1).numpy()
            found = run([pixels, quality][: 1 + uses_quality])[0]
            same += int(found.argmax() == expected.argmax())
            difference = float(np.maximum(difference, np.abs(found - expected).max()))  # max() would lose NaN
        if not (difference <= TOLERANCE and same >= SAME_CLASS * len(photos)):
            raise ParityError(
                f"As {options.format}, {len(photos) - same} of {len(photos)} photos get another class, and "
                f"probabilities differ by up to {difference:.1e}. Nothing was written."
            )
        del run  # it may hold the file open
        written = sorted(scratch.iterdir())
        size = sum(path.stat().st_size for path in written)
        files = tuple(options.output.parent / path.name for path in written)
        check_may_write(files, EXPORT, overwrite=options.overwrite, flag="OUT")  # now that all names are known
    return Exported(files, size, len(photos), same, difference)
