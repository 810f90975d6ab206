"""Compressing photos: one lossy save, a chain of them, and one photo at every level of damage.

Worker processes import this, so it imports no torch.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from afdcli.errors import UnreadableImage
from afdcli.formats.codecs import CORRUPTIONS, kind
from afdcli.options import Compression, Degradation, EvaluateOptions, ReadOptions
from afdcli.photos import archives, jpeg
from afdcli.photos.corruptions import corrupted
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import decode_rgb, read_file, read_source, unhampered_pillow
from afdcli.photos.source import Source
from afdcli.photos.stamp import UNKNOWN, stamp

BLOCK = 8
"""The side of the blocks that JPEG transforms, in pixels."""


def encode(image: Image.Image, compression: Compression, rng: np.random.Generator | None = None) -> bytes:
    """The file, without metadata, that one lossy save of `image` (mode RGB) makes.

    Of a corruption, which is drawn by `rng`, it is the corrupted image, saved without loss.

    Raises:
        UnreadableImage: the codec cannot hold it, for instance because a side is too long; or its encoder failed.
    """
    buffer = io.BytesIO()
    codec, info, name = kind(compression.codec), image.info, compression.codec.upper()
    settings = _told(compression)
    if codec.most_side is not None and max(image.size) > codec.most_side:
        raise UnreadableImage(f"{name} cannot hold a side of {max(image.size):,} pixels, only {codec.most_side:,}")
    if compression.codec in CORRUPTIONS:
        with _in_words("cannot be corrupted"):
            image = corrupted(image, compression.codec, compression.quality, rng or np.random.default_rng(0))
    image.info = {}  # Pillow would write some metadata of its own accord.
    try:
        with _in_words(f"cannot be saved as {name} at {image.width:,} x {image.height:,} pixels"):
            image.save(buffer, format=codec.pillow, **settings)
    finally:
        image.info = info
    return buffer.getvalue()


def _told(compression: Compression) -> dict[str, Any]:
    """What Pillow's `save` is told."""
    codec = kind(compression.codec)
    told = codec.settings(compression.quality, compression.subsampling)
    told |= {codec.extras[name].keyword: codec.extras[name].values[text] for name, text in compression.settings}
    if compression.tables is not None:  # Without a quality, Pillow takes them as they are.
        return {**told, "quality": -1, "qtables": compression.tables.scaled(compression.quality)}
    return told


def decode(data: bytes) -> Image.Image:
    """The pixels of a file that `encode` made, in mode RGB, however many they are.

    Raises:
        UnreadableImage: its decoder cannot read it back.
    """
    with _in_words("cannot be read back after compressing it"), unhampered_pillow():
        image: Image.Image = Image.open(io.BytesIO(data))
        if image.format in jpeg.FORMATS:
            image = jpeg.load(image, data, reduced=False, refuse=False).image
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Make `UnreadableImage` of all that codecs raise: which errors those are depends on the codec and its version."""
    try:
        yield
    except UnreadableImage:
        raise
    except MemoryError:
        raise UnreadableImage(f"{what}: not enough memory") from None
    except Exception as error:
        words = "its codec does not know it" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnreadableImage(f"{what}: {' '.join(words.split()) or type(error).__name__}") from error


def degrade_photo(image: Image.Image, degradation: Degradation, seed: int, name: str) -> bytes:
    """`degrade` the photo called `name`: with the same `seed` always to the same file."""
    draws = len(degradation.chain) > 1 or degradation.last.codec in CORRUPTIONS
    return degrade(image, degradation, rng_for(seed, name, degradation.name) if draws else None)


def degrade(image: Image.Image, degradation: Degradation, rng: np.random.Generator | None) -> bytes:
    """The file that is left of `image` (mode RGB) after all passes of `degradation`. A single pass draws nothing.

    Every earlier pass is decoded again, as a site that re-saves an upload does. With `shift`, each earlier pass has its
    blocks at an offset of its own: the image is padded at the top and left by repeating its edge, saved, and cut back.

    Raises:
        UnreadableImage: a codec cannot hold it, or cannot read back what it wrote.
    """
    for choices in degradation.chain[:-1]:
        assert rng is not None
        compression = choices[rng.integers(len(choices))]
        left, top = _grid_offset(rng) if degradation.shift else (0, 0)
        with _in_words("cannot be compressed several times"), unhampered_pillow():
            padded = Image.fromarray(np.pad(np.asarray(image), ((top, 0), (left, 0), (0, 0)), mode="edge"))
            image = decode(encode(padded, compression, rng)).crop((left, top, padded.width, padded.height))
    data = encode(image, degradation.last, rng)
    size_of(data)
    return data


def size_of(data: bytes) -> tuple[int, int]:
    """The width and height in the head of a file that `encode` made: a reader that refuses it mostly does so there.

    Raises:
        UnreadableImage: nobody here can read it.
    """
    with (
        _in_words("cannot be read back after compressing it"),
        unhampered_pillow(),
        Image.open(io.BytesIO(data)) as image,
    ):
        size: tuple[int, int] = image.size
        return size


def _grid_offset(rng: np.random.Generator) -> tuple[int, int]:
    """One of the 63 ways to move the grid of blocks, as (left, top) in pixels."""
    top, left = divmod(int(rng.integers(1, BLOCK * BLOCK)), BLOCK)
    return left, top


def rng_for(seed: int, *key: str) -> np.random.Generator:
    """Random numbers that depend on `seed` and `key` only: on no order of work, and no number of processes."""
    words = seed.to_bytes(4 * max(1, math.ceil(seed.bit_length() / 32)), "little")
    text = "\0".join(key).encode("utf-8", "surrogateescape")
    return np.random.default_rng(np.concatenate((np.frombuffer(words, "<u4"), np.frombuffer(text, np.uint8))))


@dataclass(frozen=True, slots=True)
class Level:
    """One row's kind of damage."""

    codec: str
    """The degradation's kind; that of an ordinary save is the codec's name."""
    quality: int | None
    passes: int
    order: str

    @classmethod
    def of(cls, degradation: Degradation, order: str) -> Level:
        """The level that `degradation` makes."""
        return cls(degradation.kind, degradation.last.quality, degradation.passes, order)


@dataclass(frozen=True, slots=True)
class MadeCopy:
    """A degraded copy of one photo that was made before, or that should have been."""

    path: str
    """Empty where there is none."""
    level: str
    """Its degradation's folder."""
    sha256: str = ""
    """What it was when it was made; empty where nobody says."""
    source_sha256: str = ""
    """What it was made of, likewise."""
    error: str = ""
    """Why there is none, where that is known."""

    def read(self, source: bytes) -> bytes:
        """Its bytes, if they are still those that were made of `source`.

        Raises:
            UnreadableImage: they are not, or there is no copy.
        """
        again = "run afd degrade again"
        if not os.path.lexists(archives.outside(self.path)):
            why = f" ({self.error})" if self.error else ""
            raise UnreadableImage(
                f"no copy in {self.level}{why}" + (f"; {again}" if self.sha256 or not self.path else "")
            )
        if self.source_sha256 and hashlib.sha256(source).hexdigest() != self.source_sha256:
            raise UnreadableImage(f"the photo has changed since its copy in {self.level} was made; {again}")
        data = read_file(self.path)
        if self.sha256 and hashlib.sha256(data).hexdigest() != self.sha256:
            raise UnreadableImage(f"its copy in {self.level} has been altered since it was made; {again}")
        return data


@dataclass(frozen=True, slots=True)
class Case:
    """One photo, its class if that is known, and its degraded copies if they were made before."""

    source: Source
    label: int | None = None
    copies: tuple[MadeCopy, ...] = ()


@dataclass(frozen=True, slots=True)
class Damaged:
    """One photo, undamaged and at every level."""

    case: Case
    error: str = ""
    """Why there are no pixels; empty if there are."""
    pixels: np.ndarray | None = None
    """(1 + levels, H, W, 3) uint8 in [0, 255], the undamaged one first."""
    sizes: np.ndarray | None = None
    """(1 + levels, 2): for each of them the bytes of its file, and the pixels in that file."""
    qualities: np.ndarray | None = None
    """(1 + levels,) the JPEG quality factor in each file's tables, NaN where it has none."""
    stamp: str = UNKNOWN
    """What the photo's file was just before it was read, see `stamp`."""
    complete: bool = True
    """Whether nothing of the undamaged photo is lost."""
    present: float = 100.0
    """How much of it is there, in percent of its rows."""


def damage(
    case: Case,
    options: EvaluateOptions,
    degradations: Sequence[Degradation],
    levels: Sequence[Level],
    preprocessing: Preprocessing,
) -> Damaged:
    """Read one photo and make, or read, all its degraded copies."""
    before = UNKNOWN if case.source.error else stamp(case.source.path)
    try:
        if case.source.error:
            raise UnreadableImage(case.source.error)
        data = read_source(case.source)
        case = replace(case, source=case.source.bare())
        photo = decode_rgb(data, options.read)
        image, clean = photo.image, preprocessing(photo.image)
        files = [copy.read(data) for copy in case.copies]
        for degradation in degradations:
            undamaged = clean if options.order == "crop-first" else image
            files.append(degrade_photo(undamaged, degradation, options.seed, case.source.name))
        views, sizes, qualities = [clean], [(len(data), image.width * image.height)], [photo.quality]
        for file, level in zip(files, levels, strict=True):
            copy = decode_rgb(file, ReadOptions(max_pixels=options.read.max_pixels))
            decoded = copy.image
            qualities.append(copy.quality)
            views.append(decoded if level.order == "crop-first" else preprocessing(decoded))
            sizes.append((len(file), decoded.width * decoded.height))
        pixels = np.stack([np.asarray(view) for view in views])
        told = np.array(qualities, dtype=np.float32)
        return Damaged(case, "", pixels, np.array(sizes), told, before, photo.complete, photo.present)
    except UnreadableImage as error:
        return Damaged(case, str(error), stamp=before)
    except MemoryError:
        return Damaged(case, "not enough memory to compress it", stamp=before)
