"""What worker processes do: from a file to pixels for the network.

Nothing here imports torch, nor may it: every worker would pay for that with seconds and half a gigabyte.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np

from afdcli.errors import UnreadableImage
from afdcli.formats import codecs
from afdcli.options import Degradation, EvaluateOptions, ReadOptions
from afdcli.photos.reading import Preprocessing, decode_rgb, read_file, read_rgb
from afdcli.photos.sources import Source
from afdcli.photos.stamp import UNKNOWN, stamp


@dataclass(frozen=True, slots=True)
class Sample:
    """One source, read. The source travels inside, so that no bad file can shift the names against the predictions."""

    source: Source
    error: str = ""
    """Why there are no pixels; empty if there are."""
    format: str | None = None
    width: int | None = None
    """Of the photo as it is shown, so after turning it upright."""
    height: int | None = None
    quality: int | None = None
    quality_exact: bool | None = None
    pixels: np.ndarray | None = None
    """(H, W, 3) uint8 in [0, 255], what the network sees."""
    stamp: str = UNKNOWN
    """Of the file, from just before it was read."""


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


def read_some(sources: Iterable[Source], most: int, read: ReadOptions, preprocessing: Preprocessing) -> list[Sample]:
    """The first of `sources`, `most` at most, that can be read."""
    samples = (load_sample(source, read, preprocessing) for source in sources)
    return list(islice((sample for sample in samples if not sample.error), most))


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
        if not os.path.lexists(self.path):
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


def damage(
    case: Case,
    options: EvaluateOptions,
    degradations: Sequence[Degradation],
    levels: Sequence[Level],
    preprocessing: Preprocessing,
) -> Damaged:
    """Read one photo and make, or read, all its degraded copies."""
    try:
        if case.source.error:
            raise UnreadableImage(case.source.error)
        data = read_file(case.source.path)
        photo = decode_rgb(data, options.read)
        image, clean = photo.image, preprocessing(photo.image)
        files = [copy.read(data) for copy in case.copies]
        for degradation in degradations:
            undamaged = clean if options.order == "crop-first" else image
            files.append(codecs.degrade_photo(undamaged, degradation, options.seed, case.source.name))
        views, sizes, qualities = [clean], [(len(data), image.width * image.height)], [photo.quality]
        for file, level in zip(files, levels, strict=True):
            copy = decode_rgb(file, ReadOptions(max_pixels=options.read.max_pixels))
            decoded = copy.image
            qualities.append(copy.quality)
            views.append(decoded if level.order == "crop-first" else preprocessing(decoded))
            sizes.append((len(file), decoded.width * decoded.height))
        pixels = np.stack([np.asarray(view) for view in views])
        return Damaged(case, "", pixels, np.array(sizes), np.array(qualities, dtype=np.float32))
    except UnreadableImage as error:
        return Damaged(case, str(error))
    except MemoryError:
        return Damaged(case, "not enough memory to compress it")
