"""Pairs to learn from: a photo's crop and the same crop compressed, which the seed and the pair's number decide alone.

Nothing here imports torch, nor may it: worker processes make the pairs, and every one would pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from afdcli.errors import UnreadableImage
from afdcli.machines.processes import ordered_map
from afdcli.options import Compression, Degradation, TrainOptions
from afdcli.photos import damage
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import read_rgb


@dataclass(frozen=True, slots=True)
class Pair:
    """A crop of one photo, and the same crop compressed."""

    path: str
    """The photo's path."""
    original: np.ndarray
    """The crop (H, W, 3) as the photo shows it, RGB uint8 in [0, 255]."""
    degraded: np.ndarray
    """The same crop (H, W, 3) compressed, RGB uint8 in [0, 255]; in the share of clean pairs the original itself."""
    quality: float
    """The JPEG quality factor of the last save, 1 to 100; 100 for clean pairs, NaN for other codecs."""


def read_pairs(
    drawn: Iterable[tuple[int, str]], preprocessing: Preprocessing, options: TrainOptions, ahead: int
) -> Iterator[Pair | None]:
    """The pair of each of `drawn`, as `make_pair` makes it, in their order; worker processes are `ahead` by so many.

    None stands for a photo that cannot be read, and for one that ends the process that reads it.
    """
    return ordered_map(
        partial(make_pair, size=preprocessing.size, options=options),
        drawn,
        workers=options.workers,
        ahead=ahead,
        room=2 * preprocessing.nbytes,
        crashed=_no_pair,
    )


def _no_pair(_: tuple[int, str]) -> None:
    return None


def make_pair(draw: tuple[int, str], size: int, options: TrainOptions) -> Pair | None:
    """The pair of `draw`, which is its number and its photo's path; its crops are of `size` by `size` pixels.

    None if the photo cannot be read, or cannot be compressed.
    """
    number, path = draw
    rng = np.random.default_rng([options.seed, number])
    try:
        image = read_rgb(path, options.read).image
        box = random_box(image.size, options.least_crop, rng)
        mirrored = rng.random() < 0.5
        original = _crop(image, box, size, mirrored)
        if rng.random() < options.clean_share:
            return Pair(path, original, original, 100.0)
        degradation = random_degradation(rng)
        quality = float(degradation.last.quality) if degradation.last.codec == "jpeg" else math.nan
        if rng.random() < options.crop_first_share or min(image.size) <= options.least_crop:
            degraded = damage.decode(damage.degrade(Image.fromarray(original), degradation, rng))
            return Pair(path, original, np.asarray(degraded), quality)
        degraded = damage.decode(damage.degrade(image, degradation, rng))
        return Pair(path, original, _crop(degraded, box, size, mirrored), quality)
    except (UnreadableImage, MemoryError):
        return None


def random_degradation(rng: np.random.Generator) -> Degradation:
    """Draw one to five saves, mostly one, at JPEG qualities from 5 to 95, mostly low; or one as AVIF or WebP."""
    codec = rng.choice(("jpeg", "avif", "webp"), p=(0.84, 0.1, 0.06))
    if codec == "avif":
        return Degradation(((Compression("avif", int(5 + 65 * rng.random() ** 1.5)),),))
    if codec == "webp":
        return Degradation(((Compression("webp", int(80 * rng.random() ** 1.5)),),))
    passes = 1 if rng.random() < 0.6 else int(rng.integers(2, 6))
    qualities = (5 + 90 * rng.random(passes) ** 2).astype(int)
    return Degradation(tuple((Compression("jpeg", int(q)),) for q in qualities), shift=bool(rng.random() < 0.5))


def random_box(size: tuple[int, int], least: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw a square anywhere in a photo of `size` (width, height), as (left, top, right, bottom) in pixels.

    Its side is 0.5 to 1 of the photo's short side, and no shorter than `least` pixels where the photo has as many.
    """
    short = min(size)
    side = rng.uniform(min(short, max(least, 0.5 * short)), short)
    left, top = (rng.uniform(0, extent - side) for extent in size)
    return left, top, left + side, top + side


def _crop(image: Image.Image, box: tuple[float, float, float, float], size: int, mirrored: bool) -> np.ndarray:
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else crop)
