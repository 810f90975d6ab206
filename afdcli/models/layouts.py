"""How a network lays its features out, and how to read them as a map (B, C, h, w) and to write one back.

map       (B, C, h, w)      as convolutions do
last      (B, h, w, C)      as many transformers with windows do
tokens    (B, k + h w, C)   row by row, behind k tokens that belong to no place: of the class, registers
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MAP, LAST, TOKENS = "map", "last", "tokens"
NEAR = 0.06
"""How far a grid's sides may be from a whole part of the image's: at the border convolutions drop some pixels."""
MOST_PREFIX = 16
"""More tokens than this before those of the places are none of a classifier's."""

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Layout:
    """One way to lay features out."""

    kind: str
    """`map`, `last` or `tokens`."""
    prefix: int = 0
    """How many tokens, before those of the places, belong to none."""

    def __str__(self) -> str:
        return f"{self.kind}+{self.prefix}" if self.prefix else self.kind

    def grid(self, shape: Sequence[int], image: Size) -> Size:
        """Height and width of the map in a tensor of `shape`, where the images are of the size `image`."""
        if self.kind == TOKENS:
            count = int(shape[1]) - self.prefix
            height = max(1, round((count * image[0] / image[1]) ** 0.5))
            return height, count // height
        first = 2 if self.kind == MAP else 1
        return shape[first], shape[first + 1]

    def channels(self, shape: Sequence[int]) -> int:
        """How many channels the map in a tensor of `shape` has."""
        return shape[1] if self.kind == MAP else shape[-1]

    def read(self, x: Tensor, image: Size) -> Tensor:
        """The map (B, C, h, w) in `x`, which is laid out so; the images are of the size `image`."""
        if self.kind == MAP:
            return x
        if self.kind == LAST:
            return x.permute(0, 3, 1, 2)
        # OpenVINO knows no `mT`.
        tokens = x[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], *self.grid(x.shape, image))

    def write(self, x: Tensor, features: Tensor) -> Tensor:
        """`x` with the map `features` (B, C, h, w) in the place of its own."""
        if self.kind == MAP:
            return features
        if self.kind == LAST:
            return features.permute(0, 2, 3, 1)
        tokens = features.flatten(2).transpose(1, 2)
        return torch.cat((x[:, : self.prefix], tokens), 1) if self.prefix else tokens


def fitting(shape: Sequence[int], image: Size) -> Iterator[Layout]:
    """The layouts that a tensor of `shape` may have, where the images are of the size `image`; the likeliest first."""
    if len(shape) == 4:
        candidates = [Layout(MAP), Layout(LAST)]
    elif len(shape) == 3:
        candidates = [Layout(TOKENS, prefix) for prefix in range(min(MOST_PREFIX + 1, shape[1]))]
    else:
        return
    for layout in candidates:
        height, width = layout.grid(shape, image)
        if min(height, width) < 2 or abs(image[0] / height / (image[1] / width) - 1) > NEAR:
            continue
        if layout.kind != TOKENS:
            yield layout
        elif _is_grid(shape[1] - layout.prefix, height, width, image):
            yield layout
            return  # the smallest prefix is the one


def _is_grid(count: int, height: int, width: int, image: Size) -> bool:
    reduction = image[0] / height
    proportional = height * image[1] == width * image[0]
    return height * width == count and proportional and abs(reduction / round(reduction) - 1) <= NEAR
