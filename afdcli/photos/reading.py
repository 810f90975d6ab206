"""From a file to the pixels a network sees. Every command reads through `read_rgb` and resizes through `Preprocessing`.

What becomes of pixels that are not plain 8-bit RGB:

- EXIF orientation and the embedded ICC profile are applied or ignored, as `ReadOptions` say.
- Transparency is laid over white.
- 16-bit greys are scaled to 8 bits, not clipped; 32-bit ones are taken for 16-bit ones.
- Floating-point pixels are refused: their white is not defined.
- CMYK, palettes, greys and bitmaps are converted to RGB.
- Of an animation or a multi-page file, the first frame is used.
- A file that ends early is refused, also where part of it could be shown.
"""

from __future__ import annotations

import errno
import functools
import io
import math
import os
import re
import stat
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from afdcli.errors import UnreadableImage
from afdcli.formats import codecs
from afdcli.options import ReadOptions
from afdcli.photos import remote

FORMATS = ("PNG", "GIF", "BMP", "DIB", "TIFF", "PPM", *codecs.available())
"""The decoders that are open. Others stay closed: the rarer a decoder, the more often it has had a security hole."""
Image.init()  # Registers Pillow's own: `open(formats=...)` fails on a format that is not registered yet.

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a photo with this EXIF orientation upright (EXIF 2.3, tag 274)."""
SIDEWAYS = (5, 6, 7, 8)
"""Those that exchange width and height."""

AS_STORED = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""What undoes that; the other turns undo themselves."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One decoded file."""

    image: Image.Image
    """Mode RGB."""
    size: tuple[int, int]
    """Width and height, upright: those of `image`, unless that was decoded at a fraction of them."""
    format: str
    """The file's real format, whatever its ending says. A phone's multi-picture file (MPO) is a JPEG."""
    quality: int | None
    """JPEG quality factor in 1..100, from the quantisation tables of the last save. None for other formats."""
    quality_exact: bool | None
    """Whether the tables are the standard ones at that quality, or it is only the nearest."""


def read_rgb(path: str, options: ReadOptions, least: int | None = None) -> Photo:
    """Decode the file at `path`, see `decode_rgb`.

    Raises:
        UnreadableImage: for whatever reason there is, in a few words for the user.
    """
    return decode_rgb(read_file(path), options, least)


def read_file(path: str) -> bytes:
    """The bytes of the file at `path`, which may be a URI.

    Raises:
        UnreadableImage: there are none to be had.
    """
    if remote.is_uri(path):
        if data := remote.read(path):
            return data
        raise UnreadableImage("the file is empty")
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size > 0:
            return Path(path).read_bytes()
    except FileNotFoundError:
        raise UnreadableImage("broken symbolic link" if os.path.islink(path) else "no such file") from None
    except OSError as error:
        raise UnreadableImage(_OS_REASONS.get(error.errno or 0, f"cannot be read: {error.strerror}")) from None
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # Opening a named pipe would wait for ever.
        raise UnreadableImage("not a regular file")
    raise UnreadableImage("the file is empty")


_OS_REASONS = {
    errno.ELOOP: "symbolic link that leads back to itself",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
}


def decode_rgb(data: bytes, options: ReadOptions, least: int | None = None) -> Photo:
    """Decode the contents of a file.

    With `least`, a JPEG is decoded at a half, a quarter or an eighth of its size, as long as the shorter side is left
    with twice `least` pixels: a fraction of the work. The pixels are a little different from those that resizing gives.

    Raises:
        UnreadableImage: for whatever reason there is, in a few words for the user.
    """
    try:
        with codecs.unhampered_pillow(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _decode(image, options, least)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        if package := codecs.missing_package(data):
            raise UnreadableImage(f"of a format that needs: pip install {package}") from None
        raise UnreadableImage(
            "not an image, or cut off at its beginning, or of a format that is not supported"
        ) from None
    except Image.DecompressionBombError:
        raise UnreadableImage("more pixels than can be decoded safely (see --max-pixels)") from None
    except MemoryError:
        raise UnreadableImage("not enough memory to decode it") from None
    except Exception as error:  # Decoders raise nearly anything on hostile files, and none of it may end the batch.
        raise UnreadableImage(_damage(error)) from error


def photo_of(image: Image.Image, options: ReadOptions) -> Photo:
    """The photo that somebody opened, or made, with Pillow; what becomes of its pixels is as for files.

    It has a quality if `image` is a JPEG as it was opened: Pillow's copies and crops do not know of one.

    Raises:
        UnreadableImage: for whatever reason there is, in a few words for the user.
    """
    try:
        with codecs.unhampered_pillow():
            return _decode(image, options, None)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow decodes only now what was opened, and that may be a hostile file.
        raise UnreadableImage(_damage(error)) from error


def _damage(error: Exception) -> str:
    # Pillow's own words are good, up to where they quote the file's bytes; Python's are for programmers.
    words = " ".join(str(error).split()) if isinstance(error, OSError | SyntaxError) else ""
    words = re.split(r""" ?\(?\w* ?b['"]""", words)[0].rstrip(" :(")
    return f"damaged image: {words or 'its contents make no sense'}"


def _decode(image: Image.Image, options: ReadOptions, least: int | None) -> Photo:
    if image.width * image.height > options.max_pixels:
        pixels = f"{image.width * image.height:,} pixels"
        raise UnreadableImage(f"{pixels} are more than the limit of {options.max_pixels:,} (see --max-pixels)")
    stored = image.getexif().get(ORIENTATION) if image.format == "TIFF" else None
    whole = image.size
    reduced = least is not None and image.draft(None, (2 * least, 2 * least)) is not None
    image.load()
    quality, exact = codecs.jpeg_quality(image.quantization) if hasattr(image, "quantization") else (None, None)
    if stored in UPRIGHT:  # Pillow has turned a TIFF upright by now, asked or not.
        turn = None if options.exif == "apply" else AS_STORED.get(stored, UPRIGHT[stored])
    else:
        turn = UPRIGHT.get(orientation := _orientation(image)) if options.exif == "apply" else None
        whole = whole[::-1] if turn is not None and orientation in SIDEWAYS else whole
    rgb = _to_rgb(image, image.info.get("icc_profile") if options.icc == "apply" else None, turn)
    return Photo(
        rgb, whole if reduced else rgb.size, "JPEG" if image.format == "MPO" else str(image.format), quality, exact
    )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # A damaged EXIF block does not damage the photo: viewers show it as stored.
        return 1


TILE = 1024
"""Side of the squares, in pixels, that an image is converted in: a few MB at a time, whatever the conversion takes."""


def _to_rgb(image: Image.Image, profile: bytes | None, turn: Image.Transpose | None) -> Image.Image:
    """`image` in mode RGB, by the policies at the head of this file; in sRGB, if there is a `profile`; and turned.

    Beside `image` and what is given back, each of 4 bytes a pixel at most, it takes no memory worth mentioning.
    """
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels; convert it to 8 or 16 bits first")
    if image.mode == "RGB" and turn is None and not image.has_transparency_data and not profile:
        return image
    width, height = image.size
    sideways = turn in _ASIDE
    rgb = Image.new("RGB", (height, width) if sideways else (width, height))
    for top, left in product(range(0, height, TILE), range(0, width, TILE)):
        right, bottom = min(left + TILE, width), min(top + TILE, height)
        tile = _tile_to_rgb(image.crop((left, top, right, bottom)), profile)
        rgb.info = tile.info
        if turn is not None:
            tile = tile.transpose(turn)
        x = width - right if turn in _FROM_THE_RIGHT else left
        y = height - bottom if turn in _FROM_THE_BOTTOM else top
        rgb.paste(tile, (y, x) if sideways else (x, y))
    return rgb


_ASIDE: set[Image.Transpose | None] = {UPRIGHT[number] for number in SIDEWAYS}
_FROM_THE_RIGHT = {UPRIGHT[number] for number in (2, 3, 7, 8)}
_FROM_THE_BOTTOM = {UPRIGHT[number] for number in (3, 4, 6, 7)}
"""The turns after which a tile lies as far from the left, or from the top, as before from the right or the bottom."""


def _tile_to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64).clip(0, 65535)
        if "transparency" in image.info:
            levels[levels == image.info["transparency"]] = 65535
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if image.mode not in ("RGB", "L", "CMYK"):  # The last two can have profiles of their own kind.
        image = image.convert("RGB")
    transform = _srgb_transform(profile, image.mode) if profile else None
    converted = ImageCms.applyTransform(image, transform) if transform else None
    return converted or image.convert("RGB")


@functools.lru_cache(maxsize=16)  # A folder's photos mostly share one camera's profile.
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from `profile` to sRGB. None where it is sRGB already, is damaged, or is not for this mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, TypeError, ImageCms.PyCMSError):
        return None


LONGEST = 100
"""Of an image with sides further apart than this, only what the crop keeps is resized: a strip of 1 x 60,000 pixels
would fill the memory otherwise. Rounding may then differ from timm's by a level of 255."""


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
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        box = (left, top, left + self.size, top + self.size)
        if max(width, height) <= LONGEST * short:
            resized = image if (width, height) == image.size else image.resize((width, height), self.interpolation)
            return resized.crop(box)
        x, y = image.width / width, image.height / height
        kept = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        return image.resize((self.size, self.size), self.interpolation, box=kept)
