"""Lossy compression: one table of codecs, and how to go through them once or several times."""

from __future__ import annotations

import functools
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from afdcli.errors import AfdError, UnreadableImage
from afdcli.options import Compression, Degradation

AVIF_SPEED = 6
"""Encoder effort. It changes what a quality means, so it is the same everywhere."""
WEBP_METHOD = 4
"""The same, libwebp's own default. Its colour is always 4:2:0."""
JXL_EFFORT = 7
"""The same, libjxl's own default."""
BLOCK = 8
"""Side of the blocks that JPEG transforms, in pixels."""

# ITU-T T.81, tables K.1 and K.2, row by row: the tables of quality 50.
LUMINANCE = """16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99"""
CHROMINANCE = """17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99"""


@dataclass(frozen=True)
class Codec:
    """How one lossy format is written and known."""

    format: str
    """Pillow's name for it."""
    endings: tuple[str, ...]
    """Of its files, the usual one first."""
    begins: bytes
    """What its files begin with, as a regular expression."""
    save: Callable[[Compression], dict[str, Any]]
    """What Pillow's `save` is told. Everything that an encoder would choose by itself is pinned."""
    provider: Callable[[], str | None]
    """Who reads and writes it here; where that is a plugin, this registers it. None: nobody."""
    package: str
    """What to install where nobody does."""
    most_side: int | None = None
    """The longest side, in pixels, that is written here and read back. None: the encoder knows, and says so."""


def _chosen(compression: Compression) -> dict[str, Any]:
    return {"quality": compression.quality, "subsampling": compression.subsampling}


@functools.cache
def avif_provider() -> str | None:
    """Pillow itself, or else the plugin."""
    if features.check("avif"):
        return f"Pillow with libavif {features.version('avif')}"
    try:
        import pillow_avif
    except ImportError:
        return None
    return f"pillow-avif-plugin {pillow_avif.__version__}"


@functools.cache
def _heic_provider() -> str | None:
    try:
        import pillow_heif
    except ImportError:
        return None
    pillow_heif.register_heif_opener()
    return f"pillow-heif {pillow_heif.__version__} with libheif {pillow_heif.libheif_version()}"


@functools.cache
def _jxl_provider() -> str | None:
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        return None
    return f"pillow-jxl-plugin {metadata.version('pillow-jxl-plugin')}"


def _feature(name: str, library: str) -> Callable[[], str | None]:
    """The provider for what Pillow has built in, if its builder wished."""
    return lambda: f"{library} {features.version(name)}" if features.check(name) else None


CODECS = {
    "jpeg": Codec(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        rb"\xff\xd8\xff",
        _chosen,
        lambda: f"libjpeg-turbo {features.version('libjpeg_turbo')}",
        "pillow",
        65_500,  # libjpeg's; the format itself has room for 65,535
    ),
    "avif": Codec(
        "AVIF",
        (".avif",),
        rb"....ftypavi[fs]",
        # The number of threads changes the pixels. Files go through in parallel instead.
        lambda compression: {**_chosen(compression), "speed": AVIF_SPEED, "max_threads": 1},
        avif_provider,
        "pillow-avif-plugin",
        32_768,  # libavif writes up to 65,536, and reads no more than this
    ),
    "webp": Codec(
        "WEBP",
        (".webp",),
        rb"RIFF....WEBP",
        lambda compression: {"quality": compression.quality, "method": WEBP_METHOD, "lossless": False},
        _feature("webp", "libwebp"),
        "pillow",
        16_383,
    ),
    "jp2": Codec(
        "JPEG2000",
        (".jp2", ".j2k", ".jpx"),
        rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
        lambda compression: {"quality_mode": "dB", "quality_layers": [compression.quality], "irreversible": True},
        _feature("jpg_2000", "openjpeg"),
        "pillow",
    ),
    "jxl": Codec(
        "JXL",
        (".jxl",),
        rb"\xff\x0a|\x00\x00\x00\x0cJXL ",
        lambda compression: {"quality": compression.quality, "effort": JXL_EFFORT, "lossless": False},
        _jxl_provider,
        "pillow-jxl-plugin",
    ),
    "heic": Codec(
        "HEIF",
        (".heic", ".heif", ".hif"),
        rb"....ftyp(hei[cmsx]|hev[cx]|mif1|msf1)",
        lambda compression: {
            "quality": compression.quality,
            "chroma": int(compression.subsampling.replace(":", "")),
        },
        _heic_provider,
        "pillow-heif",
    ),
}
"""All that afd compresses with. Each takes its own `QUALITIES`."""


def available() -> tuple[str, ...]:
    """Pillow's names of the formats of `CODECS` that can be read here."""
    return tuple(codec.format for codec in CODECS.values() if codec.provider() is not None)


def missing_package(data: bytes) -> str | None:
    """The package that would read `data`, the beginning of a file, where that is all that is missing."""
    for codec in CODECS.values():
        if re.match(codec.begins, data, re.DOTALL) and codec.provider() is None:
            return codec.package
    return None


def require(name: str) -> None:
    """Check, before any work is done, that the codec `name` can be written here.

    Raises:
        AfdError: it cannot; the text names the package to install.
    """
    codec = CODECS[name]
    if codec.provider() is None:
        raise AfdError(
            f"Nothing here can write {name.upper()}. Install what is missing with: pip install {codec.package}"
        )


def encode(image: Image.Image, compression: Compression) -> bytes:
    """The file, without metadata, that one lossy save of `image` (mode RGB) makes.

    Raises:
        UnreadableImage: the codec cannot hold it, for instance because a side is too long; or its encoder failed.
    """
    buffer = io.BytesIO()
    codec, info, name = CODECS[compression.codec], image.info, compression.codec.upper()
    if codec.most_side is not None and max(image.size) > codec.most_side:
        raise UnreadableImage(f"{name} cannot hold a side of {max(image.size):,} pixels, only {codec.most_side:,}")
    image.info = {}  # Pillow would write some metadata of its own accord.
    try:
        with _in_words(f"cannot be saved as {name} at {image.width:,} x {image.height:,} pixels"):
            image.save(buffer, format=codec.format, **codec.save(compression))
    finally:
        image.info = info
    return buffer.getvalue()


def decode(data: bytes) -> Image.Image:
    """The pixels of a file that `encode` made, in mode RGB, however many they are.

    Raises:
        UnreadableImage: its decoder cannot read it back.
    """
    with _in_words("cannot be read back after compressing it"), unhampered_pillow():
        return Image.open(io.BytesIO(data)).convert("RGB")


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


@contextmanager
def unhampered_pillow() -> Iterator[None]:
    """Silence warnings, which nobody could act on, and lift Pillow's limit on pixels: `ReadOptions` have their own."""
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def degrade_photo(image: Image.Image, degradation: Degradation, seed: int, name: str) -> bytes:
    """`degrade` the photo called `name`: with the same `seed` always to the same file."""
    draws = len(degradation.chain) > 1
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
            image = decode(encode(padded, compression)).crop((left, top, padded.width, padded.height))
    data = encode(image, degradation.last)
    _check_opens(data)
    return data


def _check_opens(data: bytes) -> None:
    """Look at the head of a file that `encode` made: a reader that refuses it mostly does so there.

    Raises:
        UnreadableImage: nobody here can read it.
    """
    with _in_words("cannot be read back after compressing it"), unhampered_pillow():
        Image.open(io.BytesIO(data)).close()


def _grid_offset(rng: np.random.Generator) -> tuple[int, int]:
    """One of the 63 ways to move the grid of blocks, as (left, top) in pixels."""
    top, left = divmod(int(rng.integers(1, BLOCK * BLOCK)), BLOCK)
    return left, top


def rng_for(seed: int, *key: str) -> np.random.Generator:
    """Random numbers that depend on `seed` and `key` only: on no order of work, and no number of processes."""
    words = seed.to_bytes(4 * max(1, math.ceil(seed.bit_length() / 32)), "little")
    text = "\0".join(key).encode("utf-8", "surrogateescape")
    return np.random.default_rng(np.concatenate((np.frombuffer(words, "<u4"), np.frombuffer(text, np.uint8))))


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
    return _nearest_quality(tuple(tuple(quantization[number]) for number in sorted(quantization)[:2]))


@functools.lru_cache(maxsize=256)  # A folder's photos mostly have few different tables.
def _nearest_quality(entries: tuple[tuple[int, ...], ...]) -> tuple[int, bool]:
    tables = np.array(entries, dtype=np.int64)
    error = ((_standard_tables()[:, : len(tables)] - tables) ** 2).sum(axis=(1, 2))
    return int(error.argmin()) + 1, bool(error.min() == 0)


def versions() -> dict[str, str | None]:
    """The encoder of each codec: the same ones make the same bytes."""
    return {name: codec.provider() for name, codec in CODECS.items()}
