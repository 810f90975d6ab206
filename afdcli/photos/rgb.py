"""From pixels of any kind to upright 8-bit RGB. What becomes of pixels that are not plain 8-bit RGB:

- EXIF orientation (or XMP's, where EXIF has none) and the embedded ICC profile are applied or ignored, as `ReadOptions`
  say.
- Transparency is laid over white.
- 16-bit greys are scaled to 8 bits, not clipped. What else a TIFF may have, see `tiff`.
- Floating-point pixels are refused: their white is not defined.
- CMYK, palettes, greys and bitmaps are converted to RGB.
"""

from __future__ import annotations

import functools
import io
from itertools import product

import numpy as np
from PIL import Image, ImageCms

from afdcli.errors import UnreadableImage

ORIENTATION = 0x0112
"""The number of the EXIF tag that says how a photo is turned."""
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
SIDEWAYS: set[Image.Transpose | None] = {UPRIGHT[number] for number in (5, 6, 7, 8)}
"""The turns that exchange width and height."""
AS_STORED = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""What undoes the turn that an orientation asks for; those that are not here undo themselves."""


TURNED = ("JXL", "HEIF")
"""Formats whose decoders have turned the pixels by what the file itself says; its EXIF does not count then."""


def check_pixels(size: tuple[int, int], most: int) -> None:
    """Check that an image of `size` has `most` pixels at most.

    Raises:
        UnreadableImage: it has more.
    """
    if (pixels := size[0] * size[1]) > most:
        raise UnreadableImage(f"{pixels:,} pixels are more than the limit of {most:,} (see --max-pixels)")


def remaining_turn(image: Image.Image, stored: int | None, upright: bool) -> Image.Transpose | None:
    """The turn that is left to do to a decoded `image`: to stand `upright`, or to lie as it is stored.

    `stored` is the orientation that a TIFF had before it was decoded, which turns it upright, asked or not; None for
    other formats.
    """
    if stored in UPRIGHT:
        return None if upright else AS_STORED.get(stored, UPRIGHT[stored])
    return UPRIGHT.get(_orientation(image)) if upright else None


def _orientation(image: Image.Image) -> int:
    if image.format in TURNED:
        return 1
    try:
        if image.format == "AVIF":  # Pillow writes there how the container turns it; XMP counts for nothing.
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
            return int(exif.get(ORIENTATION, 1))
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # A damaged EXIF block does not damage the photo: viewers show it as stored.
        return 1


TILE = 1024
"""The side of the squares, in pixels, that an image is converted in: a few MB at a time, whatever that takes."""


def to_rgb(image: Image.Image, profile: bytes | None, turn: Image.Transpose | None) -> Image.Image:
    """`image` in mode RGB, by the policies at the head of this file; in sRGB, if there is a `profile`; and turned.

    Beside `image` and what is given back, each of 4 bytes a pixel at most, it takes no memory worth mentioning.
    """
    if image.mode == "F":
        raise UnreadableImage("floating-point pixels; convert it to 8 or 16 bits first")
    if image.mode == "RGB" and turn is None and not image.has_transparency_data and not profile:
        return image
    width, height = image.size
    sideways = turn in SIDEWAYS
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
        rgba, grey = image.convert("RGBA"), image.mode in ("1", "L", "LA", "La")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
        image = image.convert("L") if grey else image
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
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        named = "sRGB" in ImageCms.getProfileDescription(source)
        return None if named and _changes_little(transform, mode) else transform
    except (OSError, TypeError, ImageCms.PyCMSError):
        return None


NEAR = 4
"""How many levels the profiles of sRGB that are about differ from each other, at most."""


def _changes_little(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile that is called sRGB has its curves and primaries: many are linear, and called after it."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    probe = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)  # (1, N, 3): colours from all over
    image = Image.fromarray(probe).convert(mode)
    converted = ImageCms.applyTransform(image, transform)
    before, after = (np.asarray(one.convert("RGB")).astype(int) for one in (image, converted or image))
    return int(np.abs(before - after).max()) <= NEAR
