"""The JPEG quality that a file's quantisation tables stand for."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np

# ITU-T T.81, tables K.1 and K.2, row by row: the tables of quality 50.
LUMINANCE = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMINANCE = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""


def jpeg_quality(quantization: Mapping[int, Sequence[int]]) -> tuple[int, bool]:
    """The quality factor that quantisation tables stand for, and whether they are just the standard tables at it.

    `quantization` maps a table's number to its 64 entries, row by row: the lowest is for luminance, the next for
    chrominance. All 100 qualities have different standard tables. For others, the nearest by least squares is given.
    """
    return _nearest_quality(tuple(tuple(quantization[number]) for number in sorted(quantization)[:2]))


@functools.lru_cache(maxsize=256)  # A folder's photos mostly have few different tables.
def _nearest_quality(entries: tuple[tuple[int, ...], ...]) -> tuple[int, bool]:
    tables = np.array(entries, dtype=np.int64)
    error = ((_standard_tables()[:, : len(tables)] - tables) ** 2).sum(axis=(1, 2))
    return int(error.argmin()) + 1, bool(error.min() == 0)


@functools.cache
def _standard_tables() -> np.ndarray:
    """The tables that libjpeg makes, for quality 1 to 100: (100, 2, 64), luminance and chrominance, row by row."""
    base = np.array([LUMINANCE.split(), CHROMINANCE.split()], dtype=np.int64)
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)  # jcparam.c, jpeg_quality_scaling
    return ((base * scale[:, None, None] + 50) // 100).clip(1, 255)
