"""From a JPEG to its pixels, and to whether they are all there. No other format tells as little of what it has lost.

libjpeg-turbo decodes into an array, and warns; Pillow, which does not hand its warnings on, decodes the rest (CMYK, and
what simplejpeg refuses) to the same pixels. What becomes of a file that is not as it should be:

- The picture is whole, and only the end marker is missing, or bytes follow it: it is read.
- A second picture (MPO), a thumbnail, other APP segments, in any order, also damaged ones: they are passed over.
- Filling (zeros, or 255s) between picture and end marker, and oddities of headers that no pixel depends on: it is read.
- The picture ends early, with an end marker or without; restart markers are missing or in disorder; the data make no
  sense, or are more than the picture takes; scans are missing that would complete it; a cluster of zeros is where the
  file's own code has no place for one: it has lost data, and is refused, or read as `ReadOptions.truncated` says.

A JPEG has no checksum. Data that are damaged so that they make sense, and are of the right length, cannot be told.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import simplejpeg
from PIL import Image, ImageChops

from afdcli.errors import UnreadableImage

FORMATS = ("JPEG", "MPO")
"""Pillow's names of what is read here."""
ZEROS = bytes(32)
"""So many zeros at a place are damage, unless the file's code says something short and frequent with them."""
MORE = bytes(4) + bytes(range(1, 255, 4))
"""What a picture cannot depend on when it stands behind its arithmetic code: zeros, which encoders leave out there, and
rubbish."""
CUT_OFF = "truncated: the end of its picture is missing (see --truncated)"
LOST = "damaged image: a part of its picture is lost (see --truncated)"

_COLOURS = {"RGB": "RGBX", "L": "GRAY", "CMYK": "CMYK"}
"""simplejpeg's name for each of Pillow's modes."""
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"(?=\xff[\xd0-\xd7])")
_SOI, _EOI, _SOS, _DHT, _JFIF, _ADOBE = 0xD8, 0xD9, 0xDA, 0xC4, 0xE0, 0xEE
_PASSED_OVER = {0x01, _SOI, 0xFE, *range(0xE0, 0xF0)}
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, 0xCC}
_HUFFMAN, _PROGRESSIVE, _LOSSLESS, _ARITHMETIC = (0xC0, 0xC1), (0xC2, 0xCA), 0xC3, (0xC9, 0xCA)
_KINDS = {
    _LOSSLESS: "a lossless JPEG",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
    **dict.fromkeys((0xC9, 0xCA, 0xCB), "an arithmetic-coded JPEG"),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was decoded."""

    image: Image.Image
    lost: str = ""
    """Why a part of it is grey, or not what it was; empty if it is whole."""

    @property
    def present(self) -> float:
        """Percent of the rows that are there, at least in part, where the end is missing; 100 of a picture that is
        whole. Of what was lost in the middle nobody can tell where it begins."""
        if self.lost != CUT_OFF:
            return 100.0
        width, height = self.image.size
        missing = Image.new(self.image.mode, self.image.size, self.image.getpixel((width - 1, height - 1)))
        found = ImageChops.difference(self.image, missing).getbbox()  # What is missing is all of one colour.
        return round(100 * found[3] / height, 1) if found else 0.0


def load(image: Image.Image, data: bytes, *, reduced: bool, refuse: bool) -> Loaded:
    """Decode the file `data`, which is open as `image`, in the mode and at the size that this has.

    `reduced` says that this size is a fraction of the photo's, see `PIL.Image.Image.draft`.

    Raises:
        UnreadableImage: a part of the picture is lost, and to `refuse`.
        Exception: whatever Pillow raises of a file that is no JPEG behind its beginning.
    """
    if image.mode not in _COLOURS:
        image.load()
        return Loaded(image)
    decode = partial(_decode, mode=image.mode, size=image.size, reduced=reduced)
    try:
        pixels, lost = decode(data), ""
    except ValueError:  # a warning, or a failure
        data = _mended(data)
        try:
            pixels, lost, data = _decode_anyhow(data, decode)
        except ValueError:  # simplejpeg cannot, whatever there is
            return Loaded(_loaded_by_pillow(image, data))
    lost = _lost_in_silence(data) or lost or _needs_more(data, pixels, decode)
    if lost and refuse:
        raise UnreadableImage(lost)
    if image.mode == "CMYK":  # Inks become colours in many ways: Pillow's stays the one.
        return Loaded(Image.open(io.BytesIO(data), formats=FORMATS), lost)
    decoded = Image.new(image.mode, image.size, None)  # whose pixels are not set to anything before
    decoded.frombytes(pixels, "raw", "RGBX" if image.mode == "RGB" else "L")
    decoded.info = image.info
    return Loaded(decoded, lost)


def _loaded_by_pillow(image: Image.Image, data: bytes) -> Image.Image:
    try:
        image.load()
    except Exception:
        if kind := unsupported(data):
            raise UnreadableImage(kind) from None
        raise
    return image


def unsupported(data: bytes) -> str:
    """What kind of JPEG this is, in words, if it is one that few programs read; empty if it is none."""
    for marker, begin, end in _segments(data) if data.startswith(b"\xff\xd8") else ():
        if marker in _FRAMES and end - begin > 2:
            kind, bits = _KINDS.get(marker, "a JPEG"), data[begin + 2]
            if bits != 8:
                kind = f"{kind} of {bits} bits a sample"
            plain = "which is not supported; convert it to a plain JPEG or a PNG"
            return "" if kind == "a JPEG" else f"{kind}, {plain}"
    return ""


def _decode(data: bytes, mode: str, size: tuple[int, int], reduced: bool, strict: bool = True) -> np.ndarray:
    """The pixels (H, W, C), of that size.

    Raises:
        ValueError: they cannot be had; or, if `strict`, the decoder has a warning.
    """
    pixels: np.ndarray = simplejpeg.decode_jpeg(
        data,
        _COLOURS[mode],
        min_width=size[0],
        min_height=size[1],
        min_factor=1 if reduced else 99,  # A picture of a single pixel would else come as an eighth of itself.
        strict=strict,
    )
    if pixels.shape[1::-1] != size:
        raise ValueError("of another size")
    return pixels


def _decode_anyhow(data: bytes, decode: Callable[..., np.ndarray]) -> tuple[np.ndarray, str, bytes]:
    """The pixels of mended data, what is lost of them, in words, and the data that they are of.

    Raises:
        ValueError: there are none.
    """
    warning = ""
    for attempt in (data, _without_filling(data)):
        try:
            return decode(attempt), "", attempt
        except ValueError as error:
            warning = warning or str(error)
    pixels = decode(data, strict=False)
    return pixels, CUT_OFF if "premature end" in warning.lower() else LOST, data


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker up to the end marker, and where its segment, beginning with its length, begins and ends."""
    found = _MARKER.search(data, 2)
    while found:
        marker, begin = data[found.start() + 1], found.end()
        end = begin
        if marker not in (0x01, _SOI, _EOI):
            end = min(len(data), begin + max(2, int.from_bytes(data[begin : begin + 2], "big")))
        yield marker, begin, end
        if marker == _EOI:
            return
        found = _MARKER.search(data, end)


def _mended(data: bytes) -> bytes:
    """`data` with an end marker, nothing behind it, and in its head nothing that no pixel depends on."""
    head, scan, stop, frame = [b"\xff\xd8"], 0, len(data), 0
    for marker, begin, end in _segments(data):
        if marker == _EOI:
            stop = begin - 2
        elif not scan:
            frame = marker if marker in _FRAMES else frame
            head.append(_needed(marker, data[begin:end], frame))
            scan = end if marker == _SOS else 0
    return b"".join([*head, data[scan:stop] if scan else b"", b"\xff\xd9"])


def _needed(marker: int, segment: bytes, frame: int) -> bytes:
    """The segment of a head as decoders expect it, with its marker; nothing, where no pixel depends on it."""
    if marker == _JFIF and segment[2:6] == b"JFIF":
        segment = segment[:7] + b"\1" + segment[8:]  # the only version
    elif marker == _ADOBE and segment[2:7] == b"Adobe":
        if segment[13:14] not in (b"\0", b"\1", b"\2"):
            segment = segment[:13] + b"\1" + segment[14:]  # the colours that decoders take the unknown for
    elif marker in _PASSED_OVER:
        return b""
    elif marker == _SOS and frame in _HUFFMAN:
        segment = segment[:-3] + b"\0\x3f\0"  # the only values
    return bytes((0xFF, marker)) + segment


def _without_filling(data: bytes) -> bytes:
    """Mended data without the zeros, or the 255s, that may stand between picture and end marker."""
    picture = data[:-2]
    picture = picture.rstrip(b"\0" if picture.endswith(b"\0") else b"\xff")
    return picture + (b"\0\xff\xd9" if picture.endswith(b"\xff") else b"\xff\xd9")


def _lost_in_silence(data: bytes) -> str:
    """What a file has lost that its decoder has no warning for, in words; empty if nothing shows."""
    frame, components, codes, in_parts = 0, 0, dict[int, int](), False
    for marker, begin, end in _segments(data):
        if marker in _FRAMES and end - begin > 7:
            frame, components = marker, data[begin + 7]
            in_parts = frame in _PROGRESSIVE
        elif marker == _DHT:
            codes |= _zero_codes(data[begin + 2 : end])
        elif marker == _SOS and end - begin > 7:
            in_parts |= data[begin + 2] < components
            flat = frame in _ARITHMETIC or _zeros_are_flat(data[begin:end], codes)
            if not flat and 0 <= data.find(ZEROS, end) < _end_of_scan(data, end):
                return LOST
            if not in_parts:
                return ""
    return "" if not in_parts or _scans_complete(data, components) else CUT_OFF


def _end_of_scan(data: bytes, begin: int) -> int:
    """Where the code of the scan ends that begins there: at the next marker but for those of restarts."""
    found = _MARKER.search(data, begin)
    return found.start() if found else len(data)


def _zeros_are_flat(scan: bytes, codes: dict[int, int]) -> bool:
    """Whether zeros in a scan, of which this is the head, may stand for nothing but a flat place, and so are as they
    should be. Others would be coefficients that are all alike, which no picture has."""
    last, bits = scan[-2:]
    if last == 0 and bits >> 4:
        return True  # Bits that refine the means of blocks have no code.
    table = 0x10 | scan[4] & 15 if last else scan[4] >> 4
    return codes.get(table, 1) & 15 == 0


def _zero_codes(tables: bytes) -> Iterator[tuple[int, int]]:
    """Of each Huffman table its class and number, as the file has them, and what a code of nothing but zeros means."""
    while len(tables) > 17:
        yield tables[0], tables[17]
        tables = tables[17 + sum(tables[1:17]) :]


def _scans_complete(data: bytes, components: int) -> bool:
    """Whether the scans of a JPEG that has several give each of its `components` all coefficients, to the last bit."""
    missing = dict[int, np.ndarray]()
    for marker, begin, end in _segments(data):
        if marker != _SOS or end - begin < 6 + 2 * data[begin + 2]:
            continue
        first, last, bits = data[end - 3 : end]
        for number in range(data[begin + 2]):
            left = missing.setdefault(data[begin + 3 + 2 * number], np.full(64, 255))
            left[first : last + 1] = bits & 15
    return len(missing) == components and not any(left.any() for left in missing.values())


def _needs_more(data: bytes, pixels: np.ndarray, decode: Callable[..., np.ndarray]) -> str:
    """Whether a picture in arithmetic code has lost its end, in words. Decoders take zeros for what is missing, without
    a warning; but then the picture is another one with something else there."""
    if next((marker for marker, _, _ in _segments(data) if marker in _FRAMES), 0) not in _ARITHMETIC:
        return ""
    parts, done = [], 0
    for marker, _, begin in _segments(data):
        if marker == _SOS:
            end = _end_of_scan(data, begin)
            parts += [data[done:begin], MORE.join(_RESTART.split(data[begin:end])), MORE]
            done = end
    try:
        other = decode(b"".join([*parts, data[done:]]), strict=False)
    except ValueError:
        return CUT_OFF
    return "" if np.array_equal(pixels, other) else CUT_OFF
