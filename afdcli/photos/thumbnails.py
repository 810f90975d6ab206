"""Small pictures of photos, as WebP: for looking at many at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from afdcli import atomic
from afdcli.errors import UnreadableImage
from afdcli.options import ReadOptions
from afdcli.photos.reading import read_rgb
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
        image = read_rgb(wanted.source, read, wanted.side // 2).image
    except UnreadableImage as error:
        return str(error)
    image.thumbnail((wanted.side, wanted.side), Image.Resampling.LANCZOS, reducing_gap=2)
    with atomic.file(wanted.path) as fresh:
        image.save(fresh, "WEBP", **SETTINGS)
    return ""
