"""TIFF: samples of any depth and order, which Pillow reads in part, and some of them wrongly.

What Pillow reads rightly is left to it. The rest is unpacked here as TIFF 6.0 means it: scaled by the bits per sample,
by the photometric interpretation, each band from its plane, with an alpha only where the tag ExtraSamples says so.
Pillow's libtiff still decompresses. What cannot be told, or is not supported, is refused by its name.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from afdcli.errors import UnreadableImage
from afdcli.photos.opened import Opened
from afdcli.photos.rgb import ORIENTATION, UPRIGHT, check_pixels
from afdcli.photos.tiff_tags import Cut, Tags

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
"""Photometric interpretations."""
BANDS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
ASSOCIATED, UNASSOCIATED = 1, 2
"""What ExtraSamples calls an alpha that colours are multiplied by, and one that they are not."""
RAW, LZW, OLD_JPEG, DEFLATE, PACKBITS = 1, 5, 6, 8, 32773
UNPACKED = {RAW: RAW, LZW: LZW, DEFLATE: DEFLATE, 32946: DEFLATE, PACKBITS: PACKBITS, 34925: 34925, 50000: 50000}
"""The compressions that are undone here, which know nothing of samples; the last two are LZMA and Zstandard."""
COMPRESSIONS = {
    2: "fax", 3: "fax", 4: "fax", 6: "JPEG", 7: "JPEG", 32809: "ThunderScan", 33003: "JPEG 2000", 33005: "JPEG 2000",
    34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG",
    34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""What else a TIFF may be compressed with."""
OTHER = {4: "a mask", 9: "ICC Lab colours", 10: "ITU Lab colours", 32803: "a camera's raw pixels",
               32844: "LogL greys", 32845: "LogLuv colours", 34892: "a camera's raw pixels"}  # fmt: skip
"""Photometric interpretations that are not supported."""
GROUP = 1 << 20
"""About how many bytes of pixels are unpacked at a time."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tags of a TIFF say of its samples."""

    order: str
    """The byte order as NumPy has it, `<` or `>`."""
    size: tuple[int, int]
    """Width and height as they are stored."""
    photometric: int
    bits: int
    bands: int
    """How many samples a pixel has: those of its colour, then the others."""
    extra: tuple[int, ...]
    """What ExtraSamples says of the others."""
    planes: bool
    """Whether each band lies for itself."""
    compression: int
    predictor: int
    reversed: bool
    """Whether the first pixel is in the lowest bits of a byte, not the highest."""
    chunk: tuple[int, int]
    """The width and height of a strip or a tile."""
    places: tuple[int, ...]
    """Where strips or tiles begin."""
    lengths: tuple[int, ...]
    """How many bytes each has."""

    @property
    def together(self) -> int:
        """How many bands lie together in a strip or tile."""
        return 1 if self.planes else self.bands

    @property
    def row(self) -> int:
        """How many bytes a row of a strip or tile has."""
        return (self.chunk[0] * self.together * self.bits + 7) // 8


def opened(data: bytes, most: int) -> Opened:
    """Open a TIFF of at most `most` pixels.

    Raises:
        UnreadableImage: it has more, or is cut off, or is of a kind that is not supported.
        Exception: whatever Pillow raises.
    """
    try:
        tags = Tags(data)
    except Cut:
        raise UnreadableImage("damaged image: the file is truncated") from None
    layout = _layout(tags)
    if layout.compression not in (RAW, OLD_JPEG) and any(place + size > len(data) for place, size in tags.extents()):
        raise UnreadableImage("damaged image: the file is truncated")
    if _pillow_reads(layout, tags):
        with _libtiff_for_all(layout.photometric == YCBCR):
            return Opened(Image.open(io.BytesIO(data), formats=("TIFF",)))
    _check_supported(layout, tags)
    check_pixels(layout.size, most)
    image = _image(data, layout, tags.numbers(320))
    if profile := tags.content(34675):
        image.info["icc_profile"] = profile
    orientation = tags.number(ORIENTATION, 1)
    if orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    image.getexif()[ORIENTATION] = orientation
    image.format = "TIFF"
    return Opened(image)


def _layout(tags: Tags) -> Layout:
    size = tags.number(256), tags.number(257)
    bits, photometric = tags.numbers(258, 1), tags.number(262)
    bands = tags.number(277, 1)
    extra = tags.numbers(338)[: max(0, bands - BANDS.get(photometric, bands))]
    tile = tags.number(322)
    chunk = (tile, tags.number(323)) if tile else (size[0], min(tags.number(278, size[1]), size[1]))
    extents = tags.extents()
    return Layout(
        order=tags.order,
        size=size,
        photometric=photometric,
        bits=bits[0] if len(set(bits)) == 1 else 0,
        bands=bands,
        extra=extra,
        planes=tags.number(284, 1) == 2 and bands > 1,
        compression=tags.number(259, RAW),
        predictor=tags.number(317, 1),
        reversed=tags.number(266, 1) == 2,
        chunk=chunk,
        places=tuple(place for place, _ in extents),
        lengths=tuple(length for _, length in extents),
    )


def _pillow_reads(layout: Layout, tags: Tags) -> bool:
    """Whether Pillow reads this kind, and rightly."""
    kind, bits, bands, sample = layout.photometric, layout.bits, layout.bands, tags.number(339, 1)
    if bands - BANDS.get(kind, bands) > len(layout.extra):  # It takes a band that nothing is said of for an alpha.
        return False
    if tags.number(284, 1) == 2 and (kind, bands) != (RGB, 3):
        return False
    if layout.compression not in UNPACKED:
        return bits in (1, 8) and sample == 1
    if layout.reversed and bits > 1:
        return False
    if kind == PALETTE and max(tags.numbers(320), default=0) < 256:
        return False
    if kind == CMYK and tags.number(332, 1) != 1:
        return False
    wrong = sample == 2 or bits == 12 or (sample == 1 and bits == 32) or (bands == 2 and layout.extra == (ASSOCIATED,))
    if wrong or (bits == 16 and (kind == WHITE_IS_ZERO or layout.planes)):
        return False
    order, fill = b"MM" if layout.order == ">" else b"II", 2 if layout.reversed else 1
    return (order, kind, (sample,), fill, (bits,) * bands, layout.extra) in TiffImagePlugin.OPEN_INFO


_one_at_a_time = threading.Lock()


@contextmanager
def _libtiff_for_all(wanted: bool) -> Iterator[None]:
    """Let libtiff read what is not compressed too, if that is `wanted`: it knows colour of half the resolution."""
    if not wanted:
        yield
        return
    with _one_at_a_time:
        before, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, True
        try:
            yield
        finally:
            TiffImagePlugin.READ_LIBTIFF = before


def _check_supported(layout: Layout, tags: Tags) -> None:
    reason = ""
    if min(layout.size) < 1 or min(layout.chunk) < 1 or layout.bands < 1:
        reason = "without a size"
    elif layout.photometric in OTHER:
        reason = f"of {OTHER[layout.photometric]}"
    elif (sample := tags.number(339, 1)) not in (1, 4):
        reason = {2: "of signed samples, whose black and white are not defined", 3: "of floating-point pixels"}.get(
            sample, "of complex numbers"
        )
    elif layout.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK):
        reason = f"of {'Lab' if layout.photometric == LAB else 'YCbCr'} colours in this arrangement"
    elif layout.photometric == CMYK and tags.number(332, 1) != 1:
        reason = "of inks other than CMYK"
    elif layout.bands < BANDS[layout.photometric]:
        reason = "of fewer bands than its colours have"
    elif not 0 < layout.bits <= (16 if layout.photometric == PALETTE else 32):
        reason = "of samples of this many bits, or of different numbers of bits"
    elif layout.compression not in UNPACKED:
        reason = f"of {layout.bits} bits with {COMPRESSIONS.get(layout.compression, 'unknown')} compression"
    elif layout.predictor != 1 and (layout.predictor != 2 or layout.bits not in (8, 16, 32)):
        reason = "with a predictor of this kind"
    if reason:
        raise UnreadableImage(f"a TIFF {reason}, which is not supported")


def _image(data: bytes, layout: Layout, palette: tuple[int, ...]) -> Image.Image:
    """The pixels, 8 bits a sample: L, LA, RGB, RGBA or CMYK."""
    colours = BANDS[layout.photometric]
    alphas = [place for place, kind in enumerate(layout.extra, colours) if kind in (ASSOCIATED, UNASSOCIATED)]
    alpha = alphas[0] if alphas else None
    wanted = [*range(colours), *([] if alpha is None else [alpha])]
    width, height = layout.size
    kinds = [np.uint16 if layout.photometric == PALETTE and number < colours else np.uint8 for number in wanted]
    bands = [np.empty((height, width), kind) for kind in kinds]
    for first, left, top, samples in _samples(data, layout):  # (rows, columns, bands that lie together)
        rows, columns = min(samples.shape[0], height - top), min(samples.shape[1], width - left)
        for band, number in zip(bands, wanted, strict=True):
            if first <= number < first + layout.together:
                part = samples[:rows, :columns, number - first]
                indices = band.dtype == np.uint16
                band[top : top + rows, left : left + columns] = part if indices else _in_8_bits(part, layout.bits)
    return _coloured(bands, layout, palette, None if alpha is None else layout.extra[alpha - colours])


def _in_8_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    white = (1 << bits) - 1
    return samples if bits == 8 else ((samples.astype(np.uint64) * 255 + white // 2) // white).astype(np.uint8)


def _coloured(bands: list[np.ndarray], layout: Layout, palette: tuple[int, ...], alpha: int | None) -> Image.Image:
    share = bands.pop() if alpha is not None else None
    if layout.photometric == PALETTE:
        bands = _looked_up(bands[0], layout.bits, palette)
    if share is not None and layout.photometric in (CMYK, WHITE_IS_ZERO):  # Less ink is nearer to white.
        if alpha == UNASSOCIATED:
            bands = [((band.astype(np.uint16) * share + 127) // 255).astype(np.uint8) for band in bands]
    elif share is not None and alpha == ASSOCIATED and layout.photometric != PALETTE:
        bands = [np.minimum(band.astype(np.uint16) + (255 - share), 255).astype(np.uint8) for band in bands]
    elif share is not None:
        bands.append(share)
    if layout.photometric == WHITE_IS_ZERO:
        bands = [255 - bands[0]]
    mode = "CMYK" if layout.photometric == CMYK else ("L", "LA", "RGB", "RGBA")[len(bands) - 1]
    images = [Image.fromarray(band) for band in bands]
    return images[0] if mode == "L" else Image.merge(mode, images)


def _looked_up(indices: np.ndarray, bits: int, palette: tuple[int, ...]) -> list[np.ndarray]:
    white = 65535 if max(palette, default=0) > 255 else 255  # Some write 8 bits, against the format.
    table = np.zeros(3 << bits, np.uint8)
    entries = np.array(palette, np.uint64)[: len(table)]
    table[: len(entries)] = (entries * 255 + white // 2) // white
    return [part[indices] for part in table.reshape(3, -1)]


def _samples(data: bytes, layout: Layout) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Strips or tiles: their first band, left and top, and their samples, (rows, columns, bands)."""
    (width, height), (across, down) = layout.size, layout.chunk
    columns, rows = -(-width // across), -(-height // down)
    group = max(1, GROUP // (layout.row * down)) if columns == 1 else 1  # Strips are unpacked some at a time.
    if len(layout.places) < columns * rows * (layout.bands if layout.planes else 1):
        raise UnreadableImage("damaged image: it has fewer strips or tiles than its size asks for")
    for band in range(layout.bands if layout.planes else 1):
        for row in range(0, rows, group):
            for column in range(columns):
                first = (band * rows + row) * columns + column
                numbers = range(first, first + min(group, rows - row))
                wanted = min(down * len(numbers), height - row * down) if across == width else down
                lines = _lines(data, layout, numbers, wanted)
                yield band, column * across, row * down, _unpacked(lines, layout)


def _lines(data: bytes, layout: Layout, numbers: range, rows: int) -> np.ndarray:
    """Some strips that follow each other, or one tile, without their compression: (rows, bytes) uint8."""
    kept = []
    for number in numbers:
        place, length = layout.places[number], layout.lengths[number]
        if layout.compression == RAW:  # The length that it must have: some files have none, or a wrong one.
            length = layout.row * min(layout.chunk[1], rows - layout.chunk[1] * (number - numbers[0]))
        if place + length > len(data):
            raise UnreadableImage("damaged image: the file is truncated")
        kept.append(data[place : place + length])
    if layout.compression != RAW:
        return _by_libtiff(kept, layout, rows)
    lines = np.frombuffer(b"".join(kept), np.uint8).reshape(rows, layout.row)
    return np.packbits(np.unpackbits(lines, axis=1, bitorder="little"), axis=1) if layout.reversed else lines


def _by_libtiff(kept: list[bytes], layout: Layout, rows: int) -> np.ndarray:
    """Strips without their compression, as libtiff undoes it: given to it as greys of 8 bits."""
    tags = ImageFileDirectory_v2(prefix=b"II")
    tags[256], tags[257], tags[258], tags[262], tags[277] = layout.row, rows, 8, BLACK_IS_ZERO, 1
    tags[259], tags[266], tags[278] = UNPACKED[layout.compression], 2 if layout.reversed else 1, layout.chunk[1]
    tags[273] = tuple(accumulate(map(len, kept[:-1]), initial=0))  # counted from the end of the tags
    tags[279] = tuple(map(len, kept))
    made = b"II*\0\x08\0\0\0" + tags.tobytes(8) + b"".join(kept)
    with Image.open(io.BytesIO(made), formats=("TIFF",)) as image:
        return np.asarray(image)


def _unpacked(lines: np.ndarray, layout: Layout) -> np.ndarray:
    """Bytes as whole numbers, (rows, columns, bands that lie together), with what a predictor did undone."""
    rows, count, bits = len(lines), layout.chunk[0] * layout.together, layout.bits
    if bits % 8:
        each = np.unpackbits(lines, axis=1)[:, : count * bits].reshape(rows, count, bits)
        size = 8 if bits < 8 else 16 if bits < 16 else 32
        wide = np.zeros((rows, count, size), np.uint8)
        wide[..., size - bits :] = each
        samples = np.packbits(wide, axis=2).view(f">u{size // 8}")[..., 0]
    elif bits == 24:
        each = lines.reshape(rows, count, 3)[..., :: 1 if layout.order == ">" else -1]
        samples = np.pad(each, ((0, 0), (0, 0), (1, 0))).view(">u4")[..., 0]
    else:
        samples = lines.view(f"{layout.order}u{bits // 8}")
    samples = samples.astype(samples.dtype.newbyteorder("=")).reshape(rows, layout.chunk[0], layout.together)
    return np.cumsum(samples, axis=1, dtype=samples.dtype) if layout.predictor == 2 else samples


def unsupported_compression(data: bytes) -> str | None:
    """Why `data`, if it is a TIFF that libtiff cannot decompress, is not supported. None for other files."""
    if not data.startswith((b"II", b"MM")):
        return None
    try:
        number = Tags(data).number(259, RAW)
    except Cut:
        return None
    name = COMPRESSIONS.get(number) if number not in (2, 3, 4, 7) else None  # These four are.
    return f"a TIFF with {name} in it, which is not supported, or damaged" if name else None
