"""What worker processes do: from a file to pixels for the network.

Nothing here imports torch, nor may it: every worker would pay for that with seconds and half a gigabyte.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np

from afdcli.errors import UnreadableImage
from afdcli.options import ReadOptions
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.reading import decode_rgb, read_source
from afdcli.photos.source import Source
from afdcli.photos.sources import Sources
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
    complete: bool | None = None
    """Whether nothing of the picture is lost, see `Photo`."""
    present: float | None = None
    """Percent of its rows that are there, see `Photo`."""
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
        data, source = read_source(source), source.bare()
        photo = decode_rgb(data, read, preprocessing.short if fast else None)
        pixels = np.array(preprocessing(photo.image))  # a copy that may be written to, as torch wants
    except UnreadableImage as error:
        return Sample(source, str(error), stamp=before)
    return Sample(
        source,
        "",
        photo.format,
        *photo.size,
        photo.quality,
        photo.quality_exact,
        photo.complete,
        photo.present,
        pixels,
        before,
    )


def decode_only(source: Source, read: ReadOptions) -> None:
    """Read one source and give nothing back, to see what that alone takes."""
    with suppress(UnreadableImage):
        decode_rgb(read_source(source), read)


def read_some(sources: Sources, most: int, read: ReadOptions, preprocessing: Preprocessing) -> list[Sample]:
    """The first of `sources`, `most` at most, that can be read.

    Raises:
        WrongUse: there is none.
    """
    samples = (load_sample(source, read, preprocessing) for source in sources.reading())
    readable = list(islice((sample for sample in samples if not sample.error), most))
    if not readable:
        raise sources.unreadable()
    return readable
