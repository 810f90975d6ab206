"""How good a module is while it is trained: which photos are held out for that, and what is measured on them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.methods.distances import divergence, whole_angle
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import IMAGENET_C, Compression, ReadOptions
from afdcli.photos import damage
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import read_rgb

HELD_OUT = 10
"""At most one photo in so many is never trained on: it validates."""
MOST_HELD_OUT = 128
"""Validation takes a second for ten photos."""
Way = tuple[Compression, bool]
"""A level of compression, and whether the photo is compressed after cropping."""
LEVELS: list[Way] = [(level, is_cropped) for is_cropped in (True, False) for level in IMAGENET_C]
VALIDATION = {
    "agreement": "percent of damaged photos that get the class of their original, with the module",
    "agreement_without": "percent of damaged photos that get the class of their original, without the module",
    "clean": "percent of undamaged photos that keep their class, with the module",
    "angle": "degrees between the features of damaged photos and of their originals at the tap, with the module",
    "angle_without": "degrees between the features of damaged photos and of their originals at the tap, without it",
    "divergence": "nats from the original's prediction, damaged and undamaged, with the module: the best has the least",
    "divergence_without": "nats from the original's prediction, damaged and undamaged, without the module",
}


def hold_out(photos: Sequence[str], read: ReadOptions, short: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part `photos` into those to train on and those held out: the first of every ten or more that can be read.

    Only as many are looked at as have to be, and JPEGs at about `short` pixels; those found unreadable are in neither.

    Raises:
        WrongUse: there is nothing to hold out, or nothing left to train on, that can be read.
    """
    every = max(HELD_OUT, math.ceil(len(photos) / MOST_HELD_OUT))
    training: list[str] = []
    held_out: list[str] = []
    for begin in range(0, len(photos), every):
        group = iter(photos[begin : begin + every])
        chosen = next((path for path in group if _is_readable(path, read, short)), None)
        held_out += [] if chosen is None else [chosen]
        training += group  # those after it
    if not held_out or not any(_is_readable(path, read, short) for path in training):
        raise WrongUse(
            f"Training needs at least two photos that can be read, one of them to hold out, and of {len(photos)} there "
            f"{'is one' if held_out else 'is none'}. Look at them with: afd classify"
        )
    return tuple(training), tuple(held_out)


def _is_readable(path: str, read: ReadOptions, short: int) -> bool:
    try:
        read_rgb(path, read, short)
    except UnreadableImage:
        return False
    return True


@torch.inference_mode()
def validate(
    photos: Sequence[str], teacher: DedriftedClassifier, student: DedriftedClassifier, read: ReadOptions
) -> dict[str, float] | None:
    """Measure what `VALIDATION` names, as means over those `photos` that can be read and compressed.

    `teacher` is the untouched classifier, `student` the one with the module. None if there is no such photo.
    """
    qualities = torch.tensor([100.0, *(2 * [float(level.quality) for level in IMAGENET_C])])
    qualities = qualities.to(teacher.mean.device)
    totals: dict[str, list[float]] = {name: [] for name in VALIDATION}
    for path in photos:
        views = _views(path, teacher, read)
        if views is None:
            continue
        without, with_module = teacher.outputs(views), student.outputs(views, qualities)
        plain, logits = without.logits, with_module.logits
        same = logits.argmax(1) == plain[0].argmax()
        totals["agreement"].append(100 * float(same[1:].float().mean()))
        totals["agreement_without"].append(100 * float((plain.argmax(1) == plain[0].argmax())[1:].float().mean()))
        totals["clean"].append(100 * float(same[0]))
        totals["angle"].append(float(whole_angle(with_module.features[1:], without.features[:1]).mean()))
        totals["angle_without"].append(float(whole_angle(without.features[1:], without.features[:1]).mean()))
        totals["divergence"].append(float(divergence(logits, plain[:1].expand_as(logits))))
        totals["divergence_without"].append(float(divergence(plain, plain[:1].expand_as(plain))))
    return {name: float(np.mean(values)) for name, values in totals.items()} if totals["clean"] else None


def _views(path: str, teacher: DedriftedClassifier, read: ReadOptions) -> Tensor | None:
    """A photo's crop, then the crop compressed, then the photo compressed: (1 + 2 * levels, 3, H, W) in [0, 1].

    None if the photo cannot be read or compressed.
    """
    try:
        return teacher.to_tensor(views(path, read, teacher.backbone.preprocessing, LEVELS))
    except UnreadableImage:
        return None


def views(path: str, read: ReadOptions, preprocessing: Preprocessing, levels: Sequence[Way]) -> np.ndarray:
    """What a network sees of a photo, then what it sees of it damaged: (1 + levels, H, W, 3) uint8.

    Raises:
        UnreadableImage: the photo cannot be read or compressed.
    """
    photo = read_rgb(path, read).image
    crop = preprocessing(photo)
    seen = [crop]
    for level, is_cropped in levels:
        damaged = damage.decode(damage.encode(crop if is_cropped else photo, level))
        seen.append(damaged if is_cropped else preprocessing(damaged))
    return np.stack([np.asarray(image) for image in seen])
