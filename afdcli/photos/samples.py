"""What worker processes do: from a file to pixels for the network.

Nothing here imports torch, nor may it: every worker would pay for that with seconds and half a gigabyte.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from afdcli.errors import UnreadableImage
from afdcli.options import Compression, Degradation, ReadOptions, TrainOptions
from afdcli.photos import damage
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import read_rgb
from afdcli.photos.sources import Source, Sources
from afdcli.photos.stamp import UNKNOWN, stamp


@dataclass(frozen=True, slots=True)
class Sample:
    """One source, read. The source travels inside, so that no bad file can shift the names against the predictions."""

    source: Source
    error: str = ""
    """Why there are no pixels; empty if there are."""
    format: str | None = None
    """The file's real format, see `Photo`."""
    width: int | None = None
    """The width in pixels of the photo as it is shown, so after turning it upright."""
    height: int | None = None
    """Its height, likewise."""
    quality: int | None = None
    """The JPEG quality factor in 1..100, see `Photo`."""
    quality_exact: bool | None = None
    """Whether the tables are the standard ones at that quality, see `Photo`."""
    pixels: np.ndarray | None = None
    """(H, W, 3) uint8 in [0, 255], what the network sees."""
    stamp: str = UNKNOWN
    """What the file was just before it was read, see `stamp`."""


def load_sample(source: Source, read: ReadOptions, preprocessing: Preprocessing, fast: bool = False) -> Sample:
    """Read and preprocess one source, `fast` as in `ClassifyOptions`; what goes wrong with it becomes its `error`."""
    if source.error:
        return Sample(source, source.error)
    before = stamp(source.path)
    try:
        photo = read_rgb(source.path, read, preprocessing.short if fast else None)
        pixels = np.array(preprocessing(photo.image))  # a copy that may be written to, as torch wants
    except UnreadableImage as error:
        return Sample(source, str(error), stamp=before)
    return Sample(source, "", photo.format, *photo.size, photo.quality, photo.quality_exact, pixels, before)


def decode_only(source: Source, read: ReadOptions) -> None:
    """Read one source and give nothing back, to see what that alone takes."""
    with suppress(UnreadableImage):
        read_rgb(source.path, read)


def read_some(sources: Sources, most: int, read: ReadOptions, preprocessing: Preprocessing) -> list[Sample]:
    """The first of `sources`, `most` at most, that can be read.

    Raises:
        WrongUse: there is none.
    """
    samples = (load_sample(source, read, preprocessing) for source in sources)
    readable = list(islice((sample for sample in samples if not sample.error), most))
    if not readable:
        raise sources.unreadable()
    return readable


@dataclass(frozen=True, slots=True)
class Pair:
    """A crop of one photo, and the same crop compressed."""

    path: str
    """The path of the photo."""
    original: np.ndarray
    """(H, W, 3) uint8 in [0, 255]."""
    degraded: np.ndarray
    """(H, W, 3) uint8 in [0, 255]; the original itself in the share of clean pairs."""
    quality: float
    """The JPEG quality factor of the last save; 100 for clean pairs, NaN for other damage."""


def make_pair(draw: tuple[int, str], size: int, options: TrainOptions) -> Pair | None:
    """The pair of `draw`, its number and its photo's path; `size` is its side. None if the photo cannot be read."""
    number, path = draw
    rng = np.random.default_rng([options.seed, number])
    try:
        image = read_rgb(path, options.read).image
        box = _random_box(image.size, options.least_crop, rng)
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
    """One to five saves, mostly one, at JPEG qualities over 5 to 95, mostly low; or one as AVIF or WebP."""
    codec = rng.choice(("jpeg", "avif", "webp"), p=(0.84, 0.1, 0.06))
    if codec == "avif":
        return Degradation(((Compression("avif", int(5 + 65 * rng.random() ** 1.5)),),))
    if codec == "webp":
        return Degradation(((Compression("webp", int(80 * rng.random() ** 1.5)),),))
    passes = 1 if rng.random() < 0.6 else int(rng.integers(2, 6))
    qualities = (5 + 90 * rng.random(passes) ** 2).astype(int)
    return Degradation(tuple((Compression("jpeg", int(q)),) for q in qualities), shift=bool(rng.random() < 0.5))


def _random_box(size: tuple[int, int], least: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """A square of the photo with 0.5 to 1 of its short side, anywhere: (left, top, right, bottom).

    Its side is no shorter than `least` pixels, where the photo has as many.
    """
    short = min(size)
    side = rng.uniform(min(short, max(least, 0.5 * short)), short)
    left, top = (rng.uniform(0, extent - side) for extent in size)
    return left, top, left + side, top + side


def _crop(image: Image.Image, box: tuple[float, float, float, float], size: int, mirrored: bool) -> np.ndarray:
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else crop)
