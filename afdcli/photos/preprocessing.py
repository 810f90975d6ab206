"""What a network is fed: timm's evaluation transform, on Pillow alone, for every command."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image

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
