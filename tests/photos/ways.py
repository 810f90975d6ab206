"""Every way of writing a picture: formats, depths, kinds of colour, turns, and the pixels that a reader must come to.

The bytes of TIFF and PNG are put together here, by their specifications, so that no decoder's idea of them is in what
is right. `benchmarks/pixels.py` makes a table of all; `test_ways.py` holds it.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 128, 64


@dataclass(frozen=True)
class Way:
    """One file."""

    format: str
    writing: str
    """How it is written: compressed, in strips, with tiles, ..."""
    depth: int
    """Bits a sample."""
    kind: str
    """What its samples are."""
    data: bytes
    right: np.ndarray | None
    """The pixels, (H, W, 3) uint8; None where nobody can tell, so that it must be refused."""
    within: float = 1
    """How far the worst pixel may be off, in levels; of lossy formats, the mean one."""
    orientation: int = 1

    @property
    def name(self) -> str:
        return f"{self.format}, {self.writing}, {self.depth} bits, {self.kind}, {self.orientation}"

    @property
    def lossy(self) -> bool:
        return "lossy" in self.writing


@functools.cache
def colour() -> np.ndarray:
    """(64, 128, 3) uint8: all levels, with slopes and edges, the same in no two corners."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    bands = (x * 2, y * 4, 255 - x - y)
    picture = np.stack([np.clip(band, 0, 255) for band in bands], -1).astype(np.uint8)
    picture[8:24, 8:40] = (250, 40, 20)
    picture[40:56, 80:120] = (10, 30, 200)
    return picture


def grey() -> np.ndarray:
    """(64, 128) uint8."""
    return colour()[..., 0]


def deep(picture: np.ndarray, bits: int) -> np.ndarray:
    """Bytes as whole numbers of `bits` bits: 255 becomes the largest."""
    return np.rint(picture.astype(np.float64) / 255 * ((1 << bits) - 1)).astype(np.int64)


def shallow(samples: np.ndarray, bits: int) -> np.ndarray:
    """And back, as RGB."""
    picture = np.rint(samples.astype(np.float64) / ((1 << bits) - 1) * 255).astype(np.uint8)
    return np.dstack([picture] * 3) if picture.ndim == 2 else picture


def over_white(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    picture = np.dstack([picture] * 3) if picture.ndim == 2 else picture
    part = share[..., None] / 255
    return np.rint(picture * part + 255 * (1 - part)).astype(np.uint8)


def alpha() -> np.ndarray:
    """(64, 128) uint8: nothing on the left, all on the right, some between."""
    share = np.full((HEIGHT, WIDTH), 255, np.uint8)
    share[:, :40] = 0
    share[:, 40:60] = 51
    return share


def encoded(picture: np.ndarray | Image.Image, format: str, **options: Any) -> bytes:
    """As Pillow writes it."""
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def packed(samples: np.ndarray, bits: int, order: str = "<") -> bytes:
    """(H, N) whole numbers as rows of `bits` bits each, the highest first, each row filled up to a byte."""
    if bits % 8 == 0:
        wide = samples.astype(f"{order}u8").view(np.uint8).reshape(*samples.shape, 8)
        return (wide[..., : bits // 8] if order == "<" else wide[..., 8 - bits // 8 :]).tobytes()
    each = samples.astype(np.int64)[..., None] >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(each.astype(np.uint8).reshape(len(samples), -1), axis=1).tobytes()


# TIFF 6.0


def tiff(chunks: Sequence[bytes], tags: dict[int, tuple[str, Sequence[int]]], order: str = "<", tile: int = 0) -> bytes:
    """A file of strips or tiles, its directory in front. `tags` have a type of `struct`'s, H or I, and values."""
    places, sizes = (324, 325) if tile else (273, 279)
    tags = {256: ("I", [WIDTH]), 257: ("I", [HEIGHT]), **tags, sizes: ("I", [len(chunk) for chunk in chunks])}
    tags[places] = ("I", [0] * len(chunks))
    begin = 8 + 2 + 12 * len(tags) + 4
    sizes_of = [len(values) * struct.calcsize(kind) for kind, values in tags.values()]
    begin += sum(size for size in sizes_of if size > 4)
    tags[places] = ("I", [begin + sum(map(len, chunks[:number])) for number in range(len(chunks))])
    entries, beyond = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(value) > 4:
            place = 8 + 2 + 12 * len(tags) + 4 + len(beyond)
            beyond, value = beyond + value, struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(values)) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + bytes(4) + beyond + b"".join(chunks)


def literal_packbits(data: bytes) -> bytes:
    """PackBits without any run."""
    return b"".join(bytes([len(data[at : at + 128]) - 1]) + data[at : at + 128] for at in range(0, len(data), 128))


def mirrored(data: bytes) -> bytes:
    """Each byte with its lowest bit first."""
    return np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little").tobytes()


COMPRESSIONS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "raw": (1, bytes),
    "deflate": (8, zlib.compress),
    "old deflate": (32946, zlib.compress),
    "PackBits": (32773, literal_packbits),
}


def samples_in_tiff(
    samples: np.ndarray,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    compression: str = "raw",
    rows: int = HEIGHT,
    tile: int = 0,
    planes: bool = False,
    predictor: bool = False,
    fill: int = 1,
    tags: dict[int, Sequence[int]] | None = None,
) -> bytes:
    """A TIFF of (H, W) or (H, W, bands) whole numbers."""
    samples = samples.reshape(*samples.shape[:2], -1)
    bands = samples.shape[2]
    number, compress = COMPRESSIONS[compression]
    parts = [samples[..., band : band + 1] for band in range(bands)] if planes else [samples]
    chunks = []
    for part in parts:
        for top in range(0, HEIGHT, tile or rows):
            for left in range(0, WIDTH, tile or WIDTH):
                piece = part[top : top + (tile or rows), left : left + (tile or WIDTH)]
                if tile:
                    piece = np.pad(piece, ((0, tile - len(piece)), (0, tile - piece.shape[1]), (0, 0)), "edge")
                if predictor:
                    piece = np.diff(piece, axis=1, prepend=0) & (1 << bits) - 1
                data = packed(piece.reshape(len(piece), -1), bits, order)
                chunks.append(compress(mirrored(data) if fill == 2 and compression == "raw" else data))
    if fill == 2 and compression != "raw":
        chunks = [mirrored(chunk) for chunk in chunks]
    more = {258: [bits] * bands, 259: [number], 262: [photometric], 266: [fill], 277: [bands], 284: [1 + planes]}
    more |= {322: [tile], 323: [tile]} if tile else {278: [rows]}
    more |= {317: [2]} if predictor else {}
    more |= tags or {}
    return tiff(chunks, {tag: ("H", values) for tag, values in more.items()}, order, tile)


def tiffs() -> Iterator[Way]:
    for bits in (1, 2, 4, 6, 8, 10, 12, 14, 16, 24, 32):
        for name, picture, photometric in (("grey", grey(), 1), ("white is 0", grey(), 0), ("colour", colour(), 2)):
            samples = deep(picture, bits)
            stored = (1 << bits) - 1 - samples if photometric == 0 else samples
            data = samples_in_tiff(stored, bits, photometric)
            yield Way("TIFF", "raw", bits, name, data, shallow(samples, bits))
    writings: dict[str, dict[str, Any]] = {
        "raw, big-endian": {"order": ">"},
        "raw, in strips": {"rows": 10},
        "raw, in tiles": {"tile": 48},
        "raw, lowest bits first": {"fill": 2},
        "deflate, lowest bits first": {"fill": 2, "compression": "deflate"},
        "deflate, in strips": {"rows": 10, "compression": "deflate"},
        "old deflate": {"compression": "old deflate"},
        "PackBits, in tiles": {"tile": 32, "compression": "PackBits"},
        "raw, in planes": {"planes": True},
        "raw, in planes of tiles": {"planes": True, "tile": 48},
        "deflate, in planes of strips": {"planes": True, "rows": 10, "compression": "deflate", "order": ">"},
        "deflate, differences": {"predictor": True, "compression": "deflate", "rows": 10},
        "deflate, differences, big-endian": {"predictor": True, "compression": "deflate", "order": ">"},
    }
    for bits in (4, 8, 12, 16, 32):
        for writing, how in writings.items():
            if how.get("predictor") and bits % 8:
                continue
            for name, picture, photometric in (("grey", grey(), 1), ("white is 0", grey(), 0), ("colour", colour(), 2)):
                samples = deep(picture, bits)
                stored = (1 << bits) - 1 - samples if photometric == 0 else samples
                data = samples_in_tiff(stored, bits, photometric, **how)
                yield Way("TIFF", writing, bits, name, data, shallow(samples, bits))
    yield from _tiffs_with_more_bands()
    yield from _other_tiffs()


def _tiffs_with_more_bands() -> Iterator[Way]:
    share = alpha()
    under = share[..., None] / 255
    for bits in (8, 12, 16):
        for writing, how in (("raw", {}), ("deflate", {"compression": "deflate"}), ("raw, in planes", {"planes": True}),
                             ("deflate, in planes", {"planes": True, "compression": "deflate"})):  # fmt: skip
            for name, picture, photometric in (("grey", grey()[..., None], 1), ("colour", colour(), 2)):
                plain = np.dstack((picture, share))
                multiplied = np.dstack((np.rint(picture * under).astype(np.uint8), share))
                flat, laid = shallow(picture.squeeze(), 8), over_white(picture.squeeze(), share)
                for extra, pixels, tag, right in (
                    ("a band unspecified", plain, [0], flat),
                    ("a band untold", plain, None, flat),
                    ("alpha", plain, [2], laid),
                    ("alpha, multiplied", multiplied, [1], laid),
                    ("a band unspecified, then alpha", np.dstack((picture, 255 - share, share)), [0, 2], laid),
                ):
                    tags = {338: tag} if tag else {}
                    data = samples_in_tiff(deep(pixels, bits), bits, photometric, tags=tags, **how)
                    yield Way("TIFF", writing, bits, f"{name}, {extra}", data, right, within=2)


def _other_tiffs() -> Iterator[Way]:
    for bits in (8, 16, 32):
        middle = 1 << bits - 1
        stored = (deep(grey(), bits) - middle) & (1 << bits) - 1
        yield Way("TIFF", "raw", bits, "signed", samples_in_tiff(stored, bits, 1, tags={339: [2]}), None)
    for bits in (16, 32, 64):
        floats = (grey() / 255).astype(f"<f{bits // 8}").view(f"<u{bits // 8}").astype(object).astype("u8")
        yield Way("TIFF", "raw", bits, "floating-point", samples_in_tiff(floats, bits, 1, tags={339: [3]}), None)
    for bits in (1, 2, 4, 8):
        indices = deep(grey(), bits)
        table = np.linspace((255, 0, 60), (0, 255, 200), 1 << bits).astype(np.uint8)
        for name, scale in (("palette", 257), ("palette of bytes", 1)):
            tags = {320: (table.T.ravel().astype(int) * scale).tolist()}
            for order in "<>":
                data = samples_in_tiff(indices, bits, 3, tags=tags, order=order)
                yield Way("TIFF", "raw" if order == "<" else "raw, big-endian", bits, name, data, table[indices])
    inks = np.asarray(Image.fromarray(colour()).convert("CMYK"))
    shown = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    for bits in (8, 16):
        for writing, how in (("raw", {}), ("deflate, in planes", {"planes": True, "compression": "deflate"})):
            data = samples_in_tiff(deep(inks, bits), bits, 5, **how)
            yield Way("TIFF", writing, bits, "CMYK", data, shown)
        data = samples_in_tiff(deep(inks, bits), bits, 5, tags={332: [2]})
        yield Way("TIFF", "raw", bits, "other inks", data, None)
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        data = encoded(colour(), "TIFF", compression=compression)
        yield Way("TIFF", f"{compression}, by Pillow", 8, "colour", data, colour())


# PNG, third edition


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples: np.ndarray, bits: int, colours: int, *chunks: bytes, interlaced: bool = False) -> bytes:
    """A PNG of (H, W) or (H, W, bands) whole numbers, with `chunks` in front of its pixels."""
    samples = samples.reshape(*samples.shape[:2], -1)
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(
        b"\0" + packed(row.reshape(1, -1), bits, ">")
        for top, left, down, across in passes
        for row in samples[top::down, left::across]
    )
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *samples.shape[1::-1], bits, colours, 0, 0, interlaced))
    pixels = zlib.compress(raw)
    data = [png_chunk(b"IDAT", pixels[at : at + 2000]) for at in range(0, len(pixels), 2000)]
    return b"\x89PNG\r\n\x1a\n" + header + b"".join([*chunks, *data]) + png_chunk(b"IEND", b"")


def pngs() -> Iterator[Way]:
    share = alpha()
    for interlaced in (False, True):
        writing = "interlaced" if interlaced else "plain"
        for bits in (1, 2, 4, 8, 16):
            samples = deep(grey(), bits)
            right, key = shallow(samples, bits), int(samples[0, 3])
            hidden = np.where((samples == key)[..., None], 255, right).astype(np.uint8)
            data = png(samples, bits, 0, interlaced=interlaced)
            yield Way("PNG", writing, bits, "grey", data, right)
            data = png(samples, bits, 0, png_chunk(b"tRNS", struct.pack(">H", key)), interlaced=interlaced)
            yield Way("PNG", writing, bits, "grey, one transparent", data, hidden)
            if bits < 16:
                table = np.linspace((255, 0, 60), (0, 255, 200), 1 << bits).astype(np.uint8)
                shares = np.linspace(0, 255, 1 << bits).astype(np.uint8)
                palette = png_chunk(b"PLTE", table.tobytes())
                data = png(samples, bits, 3, palette, interlaced=interlaced)
                yield Way("PNG", writing, bits, "palette", data, table[samples])
                data = png(samples, bits, 3, palette, png_chunk(b"tRNS", shares.tobytes()), interlaced=interlaced)
                yield Way("PNG", writing, bits, "palette with alpha", data, over_white(table[samples], shares[samples]))
        for bits in (8, 16):
            for name, picture, colours in (("grey with alpha", grey(), 4), ("colour with alpha", colour(), 6)):
                data = png(deep(np.dstack((picture, share)), bits), bits, colours, interlaced=interlaced)
                yield Way("PNG", writing, bits, name, data, over_white(picture, share))
            samples = deep(colour(), bits)
            yield Way("PNG", writing, bits, "colour", png(samples, bits, 2, interlaced=interlaced), colour())
            if bits == 16:
                samples[::2] ^= 1  # which 8 bits do not show
            key = samples[1, 100]
            chunk = png_chunk(b"tRNS", struct.pack(">3H", *key))
            right = np.where((samples == key).all(-1)[..., None], 255, shallow(samples, bits)).astype(np.uint8)
            data = png(samples, bits, 2, chunk, interlaced=interlaced)
            yield Way("PNG", writing, bits, "colour, one transparent", data, right)
