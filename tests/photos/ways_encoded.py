"""The other ways of writing a picture: BMP, GIF and PPM by hand, and what only an encoder writes. See `ways`."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401
from PIL import Image
from ways import (
    HEIGHT,
    WIDTH,
    Way,
    alpha,
    colour,
    deep,
    encoded,
    grey,
    over_white,
    packed,
    pngs,
    samples_in_tiff,
    shallow,
    tiffs,
)

pillow_heif.register_heif_opener()
ORIENTATION = 0x0112


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What an EXIF orientation makes of pixels as they are stored (EXIF 2.3, tag 274)."""
    turned = stored.transpose(1, 0, 2) if orientation > 4 else stored
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    return turned[::-1] if orientation in (3, 4, 7, 8) else turned


# BMP


def bmp(rows: bytes, bits: int, compression: int = 0, masks: tuple[int, ...] = (), palette: bytes = b"",
        header: int = 40, height: int = HEIGHT) -> bytes:  # fmt: skip
    """A BMP; `rows` lie as in the file."""
    head = struct.pack(
        "<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0
    )
    head += struct.pack(f"<{len(masks)}I", *masks)
    head = head.ljust(header, b"\0") + palette
    begin = 14 + len(head)
    return struct.pack("<2sIHHI", b"BM", begin + len(rows), 0, 0, begin) + head + rows


def bmp_rows(samples: np.ndarray, bits: int) -> bytes:
    """(H, W) whole numbers from bottom to top, each row filled up to four bytes."""
    lines = np.frombuffer(packed(samples[::-1], bits), np.uint8).reshape(HEIGHT, -1)
    return np.pad(lines, ((0, 0), (0, -lines.shape[1] % 4))).tobytes()


def run_lengths(indices: np.ndarray) -> bytes:
    body = b"".join(bytes([1, index]) if column < WIDTH - 1 else bytes([1, index, 0, 0])
                    for row in indices[::-1] for column, index in enumerate(row))  # fmt: skip
    return body + b"\0\1"


def bmps() -> Iterator[Way]:
    for bits in (1, 4, 8):
        indices = deep(grey(), bits)
        table = np.linspace((255, 0, 60), (0, 255, 200), 1 << bits).astype(np.uint8)
        palette = np.pad(table[:, ::-1], ((0, 0), (0, 1))).tobytes()
        yield Way("BMP", "plain", bits, "palette", bmp(bmp_rows(indices, bits), bits, palette=palette), table[indices])
        if bits == 8:
            yield Way("BMP", "run lengths", 8, "palette", bmp(run_lengths(indices), 8, 1, (), palette), table[indices])
    red, green, blue = (colour()[..., band].astype(np.int64) for band in range(3))
    five = [deep(band, 5) for band in (red, green, blue)]
    short = shallow(np.dstack(five), 5)
    yield Way("BMP", "plain", 5, "colour", bmp(bmp_rows(five[0] << 10 | five[1] << 5 | five[2], 16), 16), short)
    fields = bmp(bmp_rows(five[0] << 11 | deep(green, 6) << 5 | five[2], 16), 16, 3, (0xF800, 0x7E0, 0x1F))
    right = short.copy()
    right[..., 1] = shallow(deep(green, 6), 6)[..., 1]
    yield Way("BMP", "bit fields", 5, "colour", fields, right)
    twelve = deep(red, 4) << 8 | deep(green, 4) << 4 | deep(blue, 4)
    yield Way("BMP", "bit fields", 4, "colour", bmp(bmp_rows(twelve, 16), 16, 3, (0xF00, 0xF0, 0xF)), None)
    lines = np.ascontiguousarray(colour()[::-1, :, ::-1])
    yield Way("BMP", "plain", 8, "colour", bmp(lines.tobytes(), 24), colour())
    yield Way("BMP", "top down", 8, "colour", bmp(lines[::-1].tobytes(), 24, height=-HEIGHT), colour())
    plain, share = red << 16 | green << 8 | blue, alpha().astype(np.int64)
    argb = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    yield Way("BMP", "plain", 8, "colour, a byte more", bmp(bmp_rows(plain, 32), 32), colour())
    for header in (108, 124):
        for name, stored, masks, right in (
            ("colour, alpha all 0", plain, argb, colour()),
            ("colour with alpha", share << 24 | plain, argb, over_white(colour(), alpha())),
            ("blue first, alpha all 0", blue << 16 | green << 8 | red, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), colour()),
        ):
            data = bmp(bmp_rows(stored, 32), 32, 3, masks, header=header)
            yield Way("BMP", f"bit fields, header of {header}", 8, name, data, right)


# GIF and PPM


def lzw(indices: np.ndarray) -> bytes:
    """GIF's compression, in which nothing is compressed: the table is cleared before a code gets longer."""
    codes = [
        code
        for number, index in enumerate(indices.ravel())
        for code in ([256, index] if number % 250 == 0 else [index])
    ]
    bits = np.array([*codes, 257])[:, None] >> np.arange(9) & 1
    stream = np.packbits(bits.astype(np.uint8).ravel(), bitorder="little").tobytes()
    return (
        b"\x08"
        + b"".join(bytes([len(stream[at : at + 255])]) + stream[at : at + 255] for at in range(0, len(stream), 255))
        + b"\0"
    )


def gif(indices: np.ndarray, table: np.ndarray, *, place: tuple[int, int] = (0, 0),
        screen: tuple[int, int] | None = None, clear: int | None = None, local: bool = False,
        interlaced: bool = False, background: int = 0) -> bytes:  # fmt: skip
    """A GIF of one frame."""
    height, width = indices.shape
    colours = table.astype(np.uint8).tobytes()
    head = b"GIF89a" + struct.pack("<HHBBB", *(screen or (width, height)), 0x77 if local else 0xF7, background, 0)
    head += b"" if local else colours
    if clear is not None:
        head += bytes([0x21, 0xF9, 4, 1, 0, 0, clear, 0])
    rows = [*range(0, height, 8), *range(4, height, 8), *range(2, height, 4), *range(1, height, 2)]
    stored = indices[rows] if interlaced else indices
    flags = (0x87 if local else 0) | (0x40 if interlaced else 0)
    head += b"," + struct.pack("<HHHHB", *place, width, height, flags) + (colours if local else b"")
    return head + lzw(stored) + b";"


def gifs() -> Iterator[Way]:
    indices = grey()
    table = np.linspace((0, 255, 60), (255, 0, 200), 256).astype(np.uint8)
    shown = table[indices]
    hidden = np.where((indices == indices[0, 3])[..., None], 255, shown).astype(np.uint8)
    for interlaced in (False, True):
        writing = "interlaced" if interlaced else "plain"
        yield Way("GIF", writing, 8, "palette", gif(indices, table, interlaced=interlaced), shown)
        data = gif(indices, table, clear=int(indices[0, 3]), interlaced=interlaced)
        yield Way("GIF", writing, 8, "palette, one transparent", data, hidden)
    for name, inner, how in (
        ("", shown, {}),
        (", own palette", shown, {"local": True}),
        (", one transparent", hidden, {"clear": int(indices[0, 3])}),
        (", white background", shown, {"background": 255}),
    ):
        palette = np.vstack((table[:-1], [(255, 255, 255)])) if "white" in name else table
        inside = palette[indices] if "white" in name else inner
        right = np.full((HEIGHT + 20, WIDTH + 30, 3), 255, np.uint8)
        right[5 : 5 + HEIGHT, 20 : 20 + WIDTH] = inside
        data = gif(indices, palette, place=(20, 5), screen=(WIDTH + 30, HEIGHT + 20), **how)
        yield Way("GIF", f"frame smaller than its screen{name}", 8, "palette", data, right)


def ppms() -> Iterator[Way]:
    size = b"%d %d\n" % (WIDTH, HEIGHT)
    black = (grey() < 128).astype(np.int64)
    right = np.dstack([np.where(black, 0, 255).astype(np.uint8)] * 3)
    yield Way("PPM", "plain", 1, "bitmap", b"P1 " + size + " ".join(map(str, black.ravel())).encode() + b"\n", right)
    yield Way("PPM", "binary", 1, "bitmap", b"P4 " + size + packed(black, 1), right)
    for bits in (4, 8, 12, 16):
        for name, picture, number in (("grey", grey(), 2), ("colour", colour(), 3)):
            samples, most = deep(picture, bits), (1 << bits) - 1
            text = " ".join(map(str, samples.ravel())).encode() + b"\n"
            right = shallow(samples, bits)
            yield Way("PPM", "plain", bits, name, b"P%d # a picture\n%s%d\n" % (number, size, most) + text, right)
            stored = packed(samples.reshape(HEIGHT, -1), 8 if bits <= 8 else 16, ">")
            yield Way("PPM", "binary", bits, name, b"P%d %s%d\n" % (number + 3, size, most) + stored, right)


# By encoders


def with_alpha() -> np.ndarray:
    return np.dstack((colour(), alpha()))


def lossless() -> Iterator[Way]:
    laid = over_white(colour(), alpha())
    three = shallow(grey(), 8)
    for format, kind, picture, right, writings in (
        ("JXL", "colour", colour(), colour(),
         {"bare": {"lossless": True}, "boxes": {"lossless": True, "use_container": True}}),
        ("JXL", "colour with alpha", with_alpha(), laid, {"bare": {"lossless": True}}),
        ("JXL", "grey", grey(), three, {"bare": {"lossless": True}}),
        ("WEBP", "colour", colour(), colour(), {"lossless": {"lossless": True}}),
        ("WEBP", "colour with alpha", with_alpha(), laid, {"lossless": {"lossless": True}}),
        ("JPEG2000", "colour", colour(), colour(),
         {"boxes": {}, "bare": {"no_jp2": True}, "tiles": {"tile_size": (64, 64)},
          "by resolution": {"progression": "RLCP"}}),
        ("JPEG2000", "grey", grey(), three, {"boxes": {}}),
        ("JPEG2000", "colour with alpha", with_alpha(), laid, {"boxes": {}}),
    ):  # fmt: skip
        for writing, how in writings.items():
            yield Way(format, writing, 8, kind, encoded(picture, format, **how), right)
    deep_grey = deep(grey(), 16).astype(np.uint16)
    for format, how in (("JXL", {"lossless": True}), ("JPEG2000", {})):
        yield Way(format, "16 bits", 16, "grey", encoded(deep_grey, format, **how), three)
    frames: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(colour()[::-1].copy())]}
    yield Way("PNG", "animated", 8, "colour", encoded(colour(), "PNG", **frames), colour())
    yield Way("WEBP", "animated", 8, "colour", encoded(colour(), "WEBP", lossless=True, **frames), colour())
    yield animated_webp_smaller_than_its_canvas()


def animated_webp_smaller_than_its_canvas() -> Way:
    """Its first frame leaves a border, and nothing says that the file has an alpha."""
    frames: dict[str, Any] = {"save_all": True, "append_images": [Image.fromarray(colour()[::-1].copy())]}
    data = bytearray(encoded(colour(), "WEBP", lossless=True, **frames))
    place = data.index(b"VP8X") + 12
    data[place : place + 3] = (WIDTH + 9).to_bytes(3, "little")
    data[place + 3 : place + 6] = (HEIGHT + 9).to_bytes(3, "little")
    right = np.full((HEIGHT + 10, WIDTH + 10, 3), 255, np.uint8)
    right[:HEIGHT, :WIDTH] = colour()
    return Way("WEBP", "animated, frame smaller than its canvas", 8, "colour", bytes(data), right)


def lossy() -> Iterator[Way]:
    """Compared by their mean error: of another decoder's pixels, `benchmarks/pixels.py` makes more."""
    laid = over_white(colour(), alpha())
    jpeg: dict[str, Any] = {"quality": 95, "subsampling": "4:4:4"}
    avif: dict[str, Any] = {"quality": 95, "subsampling": "4:4:4", "max_threads": 1, "speed": 9}
    heic: dict[str, Any] = {"quality": 95, "chroma": 444}
    for format, writings in (
        ("JPEG", {"baseline": jpeg, "progressive": jpeg | {"progressive": True},
                  "restarts": jpeg | {"restart_marker_rows": 1}, "half colour": {"quality": 95}}),
        ("WEBP", {"": {"quality": 95}}),
        ("AVIF", {"": avif, "half colour": avif | {"subsampling": "4:2:0"}}),
        ("HEIF", {"": heic, "half colour": heic | {"chroma": 420}, "tiles": heic | {"tile_size": 64}}),
        ("JXL", {"bare": {"quality": 95}, "boxes": {"quality": 95, "use_container": True}}),
        ("JPEG2000", {"layers": {"quality_mode": "dB", "quality_layers": [30, 40], "irreversible": True}}),
        ("TIFF", {"JPEG": {"compression": "jpeg", "quality": 95}}),
    ):  # fmt: skip
        for writing, how in writings.items():
            yield Way(format, f"lossy {writing}".strip(), 8, "colour", encoded(colour(), format, **how), colour(), 6)
        if format in ("WEBP", "AVIF", "HEIF", "JXL"):
            data = encoded(with_alpha(), format, **writings[next(iter(writings))])
            yield Way(format, "lossy", 8, "colour with alpha", data, laid, 6)


def turned() -> Iterator[Way]:
    """Each of the eight orientations, by what each format turns with."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        right = upright(colour(), orientation)
        for format, how, within in (
            ("JPEG", {"quality": 95, "subsampling": "4:4:4"}, 6),
            ("PNG", {}, 0),
            ("WEBP", {"lossless": True}, 0),
            ("AVIF", {"quality": 95, "subsampling": "4:4:4", "max_threads": 1, "speed": 9}, 6),
            ("HEIF", {"quality": 95, "chroma": 444}, 6),
        ):
            writing = "lossy, turned" if within else "turned"
            data = encoded(colour(), format, exif=exif.tobytes(), **how)
            yield Way(format, writing, 8, "colour", data, right, within, orientation)
        data = encoded(colour(), "JXL", lossless=True, exif=exif.tobytes()[6:])
        yield Way("JXL", "EXIF, which does not count", 8, "colour", data, colour(), 0, orientation)
        for bits in (8, 12):
            data = samples_in_tiff(deep(colour(), bits), bits, 2, tags={ORIENTATION: [orientation]})
            yield Way("TIFF", "turned", bits, "colour", data, right, 1, orientation)


FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "JXL", "PNG", "PPM", "TIFF", "WEBP")


@functools.cache
def all_ways() -> tuple[Way, ...]:
    """All of them, each once, written when they are first asked for."""
    makers = (tiffs, pngs, bmps, gifs, ppms, lossless, lossy, turned)
    ways = [way for maker in makers for way in maker()]
    seen: dict[str, Way] = {}
    for way in ways:
        seen.setdefault(way.name, replace(way, right=way.right))
    assert {way.format for way in ways} == set(FORMATS)
    return tuple(seen.values())
