"""Lossy compression: one table of codecs, and how to go through them once or several times."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, features

from afdcli.errors import AfdError, UnreadableImage
from afdcli.options import Compression, Degradation

AVIF_SPEED = 6
"""Encoder effort. It changes what a quality means, so it is the same everywhere."""
WEBP_METHOD = 4
"""The same, libwebp's own default. Its colour is always 4:2:0."""
BLOCK = 8
"""Side of the blocks that JPEG transforms, in pixels."""

# ITU-T T.81, tables K.1 and K.2, row by row: the tables of quality 50.
LUMINANCE = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMINANCE = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""


def _jpeg(compression: Compression) -> dict[str, Any]:
    return {"format": "JPEG", "quality": compression.quality, "subsampling": compression.subsampling}


def _avif(compression: Compression) -> dict[str, Any]:
    return {
        "format": "AVIF",
        "quality": compression.quality,
        "subsampling": compression.subsampling,
        "speed": AVIF_SPEED,
        "max_threads": 1,  # The number of threads changes the pixels. Files go through in parallel instead.
    }


def _webp(compression: Compression) -> dict[str, Any]:
    return {"format": "WEBP", "quality": compression.quality, "method": WEBP_METHOD, "lossless": False}


SAVE_OPTIONS: dict[str, Callable[[Compression], dict[str, Any]]] = {"jpeg": _jpeg, "avif": _avif, "webp": _webp}
"""For each codec, what Pillow's `save` is told. Everything that Pillow would choose by itself is pinned."""
ENDINGS = {"jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"), "avif": (".avif",), "webp": (".webp",)}
"""File endings of each codec, the usual one first."""


@functools.cache
def avif_provider() -> str | None:
    """Who reads and writes AVIF here: Pillow itself, or else the plugin, which this registers. None: nobody."""
    if features.check("avif"):
        return f"Pillow with libavif {features.version('avif')}"
    try:
        import pillow_avif
    except ImportError:
        return None
    return f"pillow-avif-plugin {pillow_avif.__version__}"


def require(codec: str) -> None:
    """Check, before any work is done, that `codec` can be written here.

    Raises:
        AfdError: it cannot; the text names the package to install.
    """
    if codec == "avif" and avif_provider() is None:
        raise AfdError("This Pillow cannot write AVIF. Install what is missing with: pip install pillow-avif-plugin")


def encode(image: Image.Image, compression: Compression) -> bytes:
    """The file, without metadata, that one lossy save of `image` (mode RGB) makes.

    Raises:
        UnreadableImage: the codec cannot hold it, for instance because a side is longer than 65,535 pixels.
    """
    buffer = io.BytesIO()
    bare = Image.fromarray(np.asarray(image))  # Pillow would copy some metadata of its own accord.
    try:
        bare.save(buffer, **SAVE_OPTIONS[compression.codec](compression))
    except (OSError, ValueError, RuntimeError) as error:
        size = f"{image.width} x {image.height}"
        raise UnreadableImage(f"cannot be saved as {compression.codec.upper()} at {size} pixels: {error}") from None
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    """The pixels of a file that `encode` made, in mode RGB."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def degrade(image: Image.Image, degradation: Degradation, rng: np.random.Generator) -> bytes:
    """The file that is left of `image` (mode RGB) after all passes of `degradation`.

    Every earlier pass is decoded again, as a site that re-saves an upload does. With `shift`, each earlier pass has its
    blocks at an offset of its own: the image is padded at the top and left by repeating its edge, saved, and cut back.
    """
    for choices in degradation.chain[:-1]:
        compression = choices[rng.integers(len(choices))]
        left, top = _grid_offset(rng) if degradation.shift else (0, 0)
        padded = Image.fromarray(np.pad(np.asarray(image), ((top, 0), (left, 0), (0, 0)), mode="edge"))
        image = decode(encode(padded, compression)).crop((left, top, padded.width, padded.height))
    return encode(image, degradation.last)


def _grid_offset(rng: np.random.Generator) -> tuple[int, int]:
    """One of the 63 ways to move the grid of blocks, as (left, top) in pixels."""
    top, left = divmod(int(rng.integers(1, BLOCK * BLOCK)), BLOCK)
    return left, top


def rng_for(seed: int, *key: str) -> np.random.Generator:
    """Random numbers that depend on `seed` and `key` only: on no order of work, and no number of processes."""
    return np.random.default_rng([seed, *"\0".join(key).encode("utf-8", "surrogateescape")])


@functools.cache
def _standard_tables() -> np.ndarray:
    """The tables that libjpeg makes, for quality 1 to 100: (100, 2, 64), luminance and chrominance, row by row."""
    base = np.array([LUMINANCE.split(), CHROMINANCE.split()], dtype=np.int64)
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)  # jcparam.c, jpeg_quality_scaling
    return ((base * scale[:, None, None] + 50) // 100).clip(1, 255)


def jpeg_quality(quantization: Mapping[int, Sequence[int]]) -> tuple[int, bool]:
    """The quality factor that quantisation tables stand for, and whether they are just the standard tables at it.

    `quantization` maps a table's number to its 64 entries, row by row: the lowest is for luminance, the next for
    chrominance. All 100 qualities have different standard tables. For others, the nearest by least squares is given.
    """
    tables = np.array([quantization[number] for number in sorted(quantization)[:2]], dtype=np.int64)
    error = ((_standard_tables()[:, : len(tables)] - tables) ** 2).sum(axis=(1, 2))
    return int(error.argmin()) + 1, bool(error.min() == 0)


def versions() -> dict[str, str | None]:
    """The encoder of each codec: the same ones make the same bytes."""
    return {
        "jpeg": f"libjpeg-turbo {features.version('libjpeg_turbo')}",
        "avif": avif_provider(),
        "webp": f"libwebp {features.version('webp')}",
    }
