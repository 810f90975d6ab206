"""Small pictures of photos, as WebP: for looking at many at once."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from afdcli import atomic
from afdcli.errors import UnreadableImage
from afdcli.options import ReadOptions
from afdcli.photos.reading import decode_rgb, read_file
from afdcli.photos.stamp import stamp

SMALL, LARGE = 300, 1600
"""The longer side, in pixels, of a thumbnail, and of the picture that stands for a photo no browser shows."""
SETTINGS = {"quality": 72, "method": 2}


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture to be made."""

    source: str
    """Where the photo is: a path or a URI."""
    path: Path
    """The .webp file to write."""
    side: int
    """How long its longer side is at most, in pixels."""


def name_of(source: str) -> str:
    """A file name for pictures of the photo at `source`: another one once the photo has been replaced."""
    return hashlib.sha256(f"{source}\0{stamp(source)}".encode(errors="surrogateescape")).hexdigest()[:24] + ".webp"


def make(wanted: Thumbnail, read: ReadOptions) -> str:
    """Write the picture, all of it or nothing, unless it is there; returns why not, or an empty text.

    Raises:
        OutputRefused: it cannot be written.
    """
    if wanted.path.exists():
        return ""
    try:
        picture = encoded(read_file(wanted.source), wanted.side, read)
    except UnreadableImage as error:
        return str(error)
    with atomic.file(wanted.path) as fresh:
        fresh.write_bytes(picture)
    return ""


def encoded(data: bytes, side: int, read: ReadOptions) -> bytes:
    """The photo whose file has these bytes, as a WebP file whose longer side is at most `side` pixels.

    Raises:
        UnreadableImage: it cannot be read.
    """
    image = decode_rgb(data, read, side // 2).image
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", **SETTINGS)
    return buffer.getvalue()
