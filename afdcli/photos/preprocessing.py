"""What a network is fed: timm's evaluation transform, on Pillow alone, for every command.

timm resizes the whole photo and cuts its middle out. Here as little beside that middle is computed as can be without
changing a single value: by the same passes in the same order, each over a part of its side, see `_span`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

LONGEST = 100
"""Of an image with sides further apart than this, nothing but the middle is computed: a strip of 1 x 60,000 pixels
would fill the memory otherwise. Rounding may then differ from timm's by a level of 255."""
REACH = 3
"""How far the widest filter, Lanczos', looks to either side, in pixels of the coarser of its two grids."""


@dataclass(frozen=True)
class Preprocessing:
    """timm's evaluation transform, on Pillow alone: what a network is fed, up to normalisation."""

    size: int = 224
    """Side of the square the network sees, in pixels."""
    crop_pct: float = 0.875
    """Share of the resized photo's short side that the crop keeps."""
    interpolation: Image.Resampling = Image.Resampling.BICUBIC
    squash: bool = False
    """Resize to a square, giving up the aspect ratio, before cropping."""

    @property
    def nbytes(self) -> int:
        """Of the pixels that the network sees."""
        return 3 * self.size**2

    @property
    def short(self) -> int:
        """What the shorter side is resized to."""
        return math.floor(self.size / self.crop_pct)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Resize the shorter side to `size / crop_pct` and cut the square from the centre."""
        short = self.short
        width, height = image.size
        if self.squash:
            width, height = short, short
        elif width <= height:
            width, height = short, int(short * height / width)
        else:
            width, height = int(short * width / height), short
        is_exact = max(width, height) <= LONGEST * short
        across = _span(image.width, width, self.size, is_exact)
        down = _span(image.height, height, self.size, is_exact)
        part = image.crop((across.first, down.first, across.last, down.last))
        if _rows_come_first(image.size, (width, height)):
            part = self._down(part, down)
            part = self._across(part, across)
        else:
            part = self._across(part, across)
            part = self._down(part, down)
        return part

    def _across(self, image: Image.Image, span: _Span) -> Image.Image:
        box = (span.low, 0, span.high, image.height)
        return _kept(image.resize((span.count, image.height), self.interpolation, box), span, 0)

    def _down(self, image: Image.Image, span: _Span) -> Image.Image:
        box = (0, span.low, image.width, span.high)
        return _kept(image.resize((image.width, span.count), self.interpolation, box), span, 1)


@dataclass(frozen=True, slots=True)
class _Span:
    """What is computed along one side."""

    first: int
    last: int
    """The pixels of the photo that are looked at: from `first` up to `last`."""
    low: float
    high: float
    """Where, counted from `first`, the part of the photo begins and ends of which `count` pixels are made."""
    count: int
    before: int
    kept: int
    """Of the pixels made, `before` are dropped, then so many are kept."""


@functools.lru_cache(maxsize=1024)  # Most photos of a folder have one of a few sizes.
def _span(length: int, resized: int, kept: int, is_exact: bool) -> _Span:
    """What to compute for the middle `kept` of the `resized` pixels that a side of `length` pixels becomes.

    Pillow takes a part's borders as numbers of 24 bits, and works out from their distance where each pixel lies. Where
    the borders are such numbers, each comes to lie where it does in the whole; where they are nearly that, a value here
    and there, and of smooth photos whole rows, are another by a level. So, if it `is_exact`, the smallest part is taken
    that has such borders. For two sides in three that is the kept pixels, or a few more; else, the whole side.
    """
    begin = round((resized - kept) / 2)
    if length == resized:
        return _Span(begin, begin + kept, 0, kept, kept, 0, kept)
    scale = Fraction(length, resized)
    step = 1
    if is_exact:
        step = scale.denominator // (scale.denominator & -scale.denominator)  # its odd part: 24 bits have no thirds
    while True:
        start, end = begin // step * step, min(-(-(begin + kept) // step) * step, resized)
        margin = math.ceil(REACH * max(float(scale), 1)) + 1
        first, last = max(0, math.floor(start * scale) - margin), min(length, math.ceil(end * scale) + margin)
        low, high = start * scale - first, end * scale - first
        if not is_exact or all(Fraction(float(np.float32(one))) == one for one in (low, high, high - low)):
            return _Span(first, last, float(low), float(high), end - start, begin - start, kept)
        step *= 2


def _kept(image: Image.Image, span: _Span, axis: int) -> Image.Image:
    """Cut `image` along `axis`, 0 across and 1 down, to the pixels that the `span` keeps."""
    if image.size[axis] == span.kept:
        return image
    box = [0, 0, *image.size]
    box[axis], box[2 + axis] = span.before, span.before + span.kept
    return image.crop((box[0], box[1], box[2], box[3]))


def _rows_come_first(size: tuple[int, int], resized: tuple[int, int]) -> bool:
    """Whether Pillow, asked to resize the whole, makes the vertical pass first: its pixels differ with the order."""
    across, down = (before - after for before, after in zip(size, resized, strict=True))
    return down > max(0, 2 * across) and _can_begin_with_rows()


@functools.cache
def _can_begin_with_rows() -> bool:
    """Earlier versions of Pillow always begin with the horizontal pass."""
    image = Image.frombytes("L", (4, 12), bytes(number * number * 37 % 251 for number in range(48)))
    return image.resize((5, 2)).tobytes() != image.resize((5, 12)).resize((5, 2)).tobytes()
