"""From bytes to an image that Pillow can load, with what the format's specification says and Pillow does not do; or,
where a file cannot be read, what it is.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Collection
from functools import partial

from PIL import Image

from afdcli.formats import codecs
from afdcli.photos import cut, heif, jpeg, png, tiff
from afdcli.photos.opened import Opened

TIFF_BEGINS = (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+")


def opened(data: bytes, formats: Collection[str], most: int) -> Opened:
    """Open a file of one of Pillow's `formats` with at most `most` pixels.

    Raises:
        UnreadableImage: it is cut off, or of a kind that is not supported, and Pillow would not say so.
        Exception: whatever Pillow raises.
    """
    if data.startswith(png.SIGNATURE) and "PNG" in formats:
        return png.opened(data)
    if data.startswith(TIFF_BEGINS) and "TIFF" in formats:
        return tiff.opened(data, most)
    if heif.is_heif(data):
        heif.check_whole(data)
    image = Image.open(io.BytesIO(data), formats=tuple(formats))
    if image.format == "AVIF" and (shown := heif.clean_aperture(data)):
        return Opened(image, partial(_cropped, shown))
    if image.format == "WEBP" and (frame := _first_frame(data)):
        return Opened(image, partial(_over_white, frame))
    return of_pillow(image)


def of_pillow(image: Image.Image) -> Opened:
    """The same for an image that somebody opened with Pillow, as far as that can be told without its file."""
    if image.format in ("BMP", "DIB") and image.mode == "RGBA":
        return Opened(image, _without_empty_alpha)
    tiles = getattr(image, "tile", [])
    if image.format == "GIF" and tiles and tiles[0][1] != (0, 0, *image.size):
        return Opened(image, partial(_over_white, tiles[0][1]))
    return Opened(image)


def _cropped(box: tuple[int, int, int, int], image: Image.Image) -> Image.Image:
    part = image.crop(box)
    part.format = image.format
    return part


def _without_empty_alpha(image: Image.Image) -> Image.Image:
    """An alpha that is 0 everywhere is one that nobody has filled in: viewers show such a BMP."""
    if image.getchannel("A").getextrema() != (0, 0):
        return image
    rgb = image.convert("RGB")
    rgb.format = image.format
    return rgb


def _over_white(box: tuple[int, int, int, int], image: Image.Image) -> Image.Image:
    """The frame that lies in `box`; around it there is nothing, which browsers show as they do what is transparent."""
    frame = image.crop(box).convert("RGBA")
    whole = Image.new("RGBA", image.size, (255, 255, 255, 0))
    whole.paste(frame, box[:2])
    whole.info = {key: value for key, value in image.info.items() if key != "transparency"}
    whole.format = image.format
    return whole


def _first_frame(data: bytes) -> tuple[int, int, int, int] | None:
    """Where the first frame of an animated WebP lies, if it is smaller than the whole, and nothing is around it."""
    if data[12:16] != b"VP8X" or (place := data.find(b"ANMF", 30)) < 0 or len(data) < place + 20:
        return None
    canvas = [1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27)]
    left, top, width, height = (int.from_bytes(data[place + 8 + at : place + 11 + at], "little") for at in (0, 3, 6, 9))
    box = (2 * left, 2 * top, 2 * left + width + 1, 2 * top + height + 1)
    return None if box == (0, 0, *canvas) else box


KNOWN = {
    rb"\x89PNG\r\n\x1a\n": "a PNG",
    rb"GIF8[79]a": "a GIF",
    rb"\xff\xd8\xff": "a JPEG",
    rb"BM": "a BMP",
    rb"II[*+]\x00|MM\x00[*+]": "a TIFF",
    rb"P[1-6]\s": "a PPM",
    rb"P7\n": "a PAM",
    rb"P[Ff]\n": "a PFM",
    rb"RIFF....WEBP": "a WebP",
    rb"....ftypavi[fs]": "an AVIF",
    rb"....ftyp(hei[cmsx]|hev[cx]|mif1|msf1)": "a HEIC",
    rb"....ftyp": "a video, or another file of boxes",
    rb"....JXL |\xff\x0a": "a JPEG XL",
    rb"....jP  |\xff\x4f\xff\x51": "a JPEG 2000",
    rb"II\xbc\x01": "a JPEG XR",
    rb"8BPS": "a Photoshop document",
    rb"%PDF": "a PDF",
    rb"v/1\x01": "an OpenEXR",
}
"""What files begin with, and what they are then."""


def unidentified(data: bytes) -> str:
    """Why no decoder takes `data`, in words for the user."""
    if package := codecs.missing_package(data):
        return f"of a format that needs: pip install {package}"
    if cut.ends_early(data):
        return "damaged image: the file is truncated"
    if kind := jpeg.unsupported(data):
        return kind
    name = next((name for begin, name in KNOWN.items() if re.match(begin, data, re.DOTALL)), None)
    if name is None:
        return "not an image, or of a format that is not supported"
    if name == "an AVIF" and (reason := heif.too_large(data)):
        return reason
    return f"{name} of a kind that is not supported, or damaged"


def undecoded(data: bytes) -> str | None:
    """Why `data` could be opened, but not decoded, where the decoder's words would not say it."""
    if cut.ends_early(data):
        return "damaged image: the file is truncated"
    if data.startswith(b"BM") and len(data) > 34:
        (bits, compression) = struct.unpack_from("<HI", data, 28)
        if compression in (4, 5):
            return f"a BMP with a {'JPEG' if compression == 4 else 'PNG'} in it, which is not supported"
        if compression in (3, 6) and bits in (16, 32):
            return "a BMP with bit fields of this kind, which is not supported"
    if data.startswith(b"\xff\x0a"):  # A bare JPEG XL has no lengths in it.
        return "damaged image: the file is truncated, or its contents make no sense"
    return tiff.unsupported_compression(data)
