"""What opening a file gives: an image that Pillow may still have to decode, and what is to be done to it then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image


def _as_it_is(image: Image.Image) -> Image.Image:
    return image


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened file."""

    image: Image.Image
    """With its size and its metadata; its pixels may still have to be loaded."""
    finish: Callable[[Image.Image], Image.Image] = _as_it_is
    """From the loaded image to what the file means, where that is something else."""
