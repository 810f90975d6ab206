"""From a file to a photo, or to a sentence why not. Every command reads through `read_rgb`.

What a file means, where that is not what its decoder gives, is in `opening`; pixels of any kind become 8-bit RGB, see
`rgb`. Of an animation or a multi-page file, the first frame is used. A file
that ends early is refused, also where part of it could be shown.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from afdcli.errors import UnreadableImage
from afdcli.formats import codecs
from afdcli.machines.hardware import most_memory
from afdcli.options import ReadOptions
from afdcli.photos import archives, jpeg, remote
from afdcli.photos.opened import Opened
from afdcli.photos.opening import of_pillow, opened, undecoded, unidentified
from afdcli.photos.quality import jpeg_quality
from afdcli.photos.rgb import ORIENTATION, SIDEWAYS, check_pixels, remaining_turn, to_rgb
from afdcli.photos.source import Source

FORMATS = ("PNG", "GIF", "BMP", "DIB", "TIFF", "PPM", *codecs.available())
"""The decoders that are open. Others stay closed: the rarer a decoder, the more often it has had a security hole."""
Image.init()  # Registers Pillow's own: `open(formats=...)` fails on a format that is not registered yet.


@dataclass(frozen=True, slots=True)
class Photo:
    """One decoded file."""

    image: Image.Image
    """Its pixels, in mode RGB."""
    size: tuple[int, int]
    """The width and height of the upright photo: those of `image`, unless that was decoded at a fraction of them."""
    format: str
    """The file's real format, whatever its ending says. A phone's multi-picture file (MPO) is a JPEG."""
    quality: int | None
    """The JPEG quality factor in 1..100, from the quantisation tables of the last save. None for other formats."""
    quality_exact: bool | None
    """Whether the tables are the standard ones at that quality, or it is only the nearest."""
    complete: bool = True
    """Whether nothing of the picture is lost; what is not is read only where `ReadOptions.truncated` says so."""
    present: float = 100.0
    """Percent of its rows that are there, where it ends early."""


def read_rgb(path: str, options: ReadOptions, least: int | None = None) -> Photo:
    """Decode the file at `path`, see `decode_rgb`.

    Raises:
        UnreadableImage: for whatever reason there is, in a few words for the user.
    """
    return decode_rgb(read_file(path), options, least)


def read_file(path: str) -> bytes:
    """The bytes of the file at `path`, which may be a URI, or a member's address.

    Raises:
        UnreadableImage: there are none to be had.
    """
    if archives.is_address(path):
        return archives.read(path)
    if remote.is_uri(path):
        if data := remote.read(path):
            return data
        raise UnreadableImage("the file is empty")
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size > 0:
            _check_memory(status.st_size)
            return Path(path).read_bytes()
    except FileNotFoundError:
        raise UnreadableImage("broken symbolic link" if os.path.islink(path) else "no such file") from None
    except OSError as error:
        raise UnreadableImage(_OS_REASONS.get(error.errno or 0, f"cannot be read: {error.strerror}")) from None
    except MemoryError:
        raise UnreadableImage("not enough memory to read it") from None
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("a folder, not a file")
    if not stat.S_ISREG(status.st_mode):  # Opening a named pipe would wait for ever.
        raise UnreadableImage("not a regular file")
    raise UnreadableImage("the file is empty")


def _check_memory(size: int) -> None:
    """Refuse, unread, what can be no photo that anybody can decode here.

    Raises:
        UnreadableImage: `size` bytes are more than there can be.
    """
    if (most := most_memory()) is not None and size >= most:
        raise UnreadableImage(f"too large: {size / 1e9:,.1f} GB, and there is memory for {most / 1e9:,.1f} GB")


_OS_REASONS = {
    errno.ELOOP: "symbolic link that leads back to itself",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
}


def read_source(source: Source) -> bytes:
    """The bytes of `source`: those that it brings, or else as `read_file` reads them, and raises."""
    return source.data or read_file(source.path)


def decode_rgb(data: bytes, options: ReadOptions, least: int | None = None) -> Photo:
    """Decode the contents of a file.

    With `least`, a JPEG is decoded at a half, a quarter or an eighth of its size, as long as the shorter side is left
    with twice `least` pixels: a fraction of the work. The pixels are a little different from those that resizing gives.

    Raises:
        UnreadableImage: for whatever reason there is, in a few words for the user.
    """
    try:
        with unhampered_pillow():
            found = opened(data, FORMATS, options.max_pixels)
            with found.image:
                return _decode(found, options, data, least)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(unidentified(data)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage("more pixels than can be decoded safely (see --max-pixels)") from None
    except MemoryError:
        raise UnreadableImage("not enough memory to decode it") from None
    except Exception as error:  # Decoders raise nearly anything on hostile files, and none of it may end the batch.
        raise UnreadableImage(undecoded(data) or _damage(error)) from error


def photo_of(image: Image.Image, options: ReadOptions) -> Photo:
    """The photo that somebody opened, or made, with Pillow; what becomes of its pixels is as for files.

    It has a quality if `image` is a JPEG as it was opened: Pillow's copies and crops do not know of one.

    Raises:
        UnreadableImage: for whatever reason there is, in a few words for the user.
    """
    try:
        with unhampered_pillow():
            return _decode(of_pillow(image), options)
    except UnreadableImage:
        raise
    except Exception as error:  # Pillow decodes only now what was opened, and that may be a hostile file.
        raise UnreadableImage(_damage(error)) from error


def _damage(error: Exception) -> str:
    # Pillow's own words are good, up to where they quote the file's bytes; Python's are for programmers.
    words = " ".join(str(error).split()) if isinstance(error, OSError | SyntaxError) else ""
    words = re.split(r""" ?\(?\w* ?b['"]""", words)[0].rstrip(" :(")
    return f"damaged image: {words or 'its contents make no sense'}"


def _decode(found: Opened, options: ReadOptions, data: bytes | None = None, least: int | None = None) -> Photo:
    image = found.image
    check_pixels(image.size, options.max_pixels)
    stored = image.getexif().get(ORIENTATION) if image.format == "TIFF" else None
    whole = image.size
    is_jpeg = image.format in jpeg.FORMATS
    # Of other formats a draft would be a thumbnail.
    reduced = is_jpeg and least is not None and image.draft(None, (2 * least, 2 * least)) is not None
    if data is not None and is_jpeg:
        loaded = jpeg.load(image, data, reduced=reduced, refuse=options.truncated == "refuse")
    else:
        image.load()
        image = found.finish(image)
        loaded = jpeg.Loaded(image)
    turn = remaining_turn(image, stored, options.exif == "apply")
    rgb = to_rgb(loaded.image, image.info.get("icc_profile") if options.icc == "apply" else None, turn)
    upright = whole[::-1] if turn in SIDEWAYS else whole
    kind = "JPEG" if is_jpeg else str(image.format)
    tables = getattr(image, "quantization", None)  # Lossless JPEGs have none.
    quality, exact = jpeg_quality(tables) if tables else (None, None)
    size = upright if reduced else rgb.size
    return Photo(rgb, size, kind, quality, exact, not loaded.lost, loaded.present)


_hampered = threading.Lock()
_limit = Image.MAX_IMAGE_PIXELS
_unhampered = 0
"""How many threads are in `unhampered_pillow`; Pillow's limit is one for all of them."""


@contextmanager
def unhampered_pillow() -> Iterator[None]:
    """Silence warnings, which nobody could act on, and lift Pillow's limit on pixels: `ReadOptions` have their own."""
    global _unhampered, _limit
    with _hampered:
        if _unhampered == 0:
            _limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _unhampered += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with _hampered:
            _unhampered -= 1
            if _unhampered == 0:
                Image.MAX_IMAGE_PIXELS = _limit
