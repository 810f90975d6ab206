"""Which photo each pair of training is made from: a function of the seed and the pair's number alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from afdcli.errors import WrongUse
from afdcli.options import TrainOptions
from afdcli.photos.sources import Sources

BETWEEN = 2**32 - 1
"""The draws between the parts are seeded with this number, and no round of photos is."""


@dataclass(frozen=True, slots=True)
class Part:
    """Photos that are drawn alike."""

    photos: tuple[str, ...]
    """The photos' paths."""
    share: float
    """How many of the pairs are made of them, in proportion to the other parts."""


def mixture(options: TrainOptions, photos: Collection[str]) -> tuple[Part, ...]:
    """Part `photos` by the inputs of `options` and their shares; without shares, all are one part.

    Raises:
        WrongUse: of `photos` none is in an input that has a share, and not in one before it.
    """
    if not options.shares:
        return (Part(tuple(photos), 1.0),)
    parts, left = [], set(photos)
    for name, share in zip(options.photos, options.shares, strict=True):
        own = tuple(source.path for source in Sources((name,)) if source.path in left)
        left.difference_update(own)
        if share and not own:
            raise WrongUse(f"There is no photo to train on in '{name}' that is not in an input before it.")
        if share:
            parts.append(Part(own, share))
    return tuple(parts)


def draws(parts: Sequence[Part], seed: int, start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Draw a photo for each pair from number `start` to before `stop`: the number, and the photo's path.

    Of each part, every photo is drawn once before any comes again.
    """
    shares = np.array([part.share for part in parts])
    drawn = np.random.default_rng([seed, BETWEEN]).choice(len(parts), stop, p=shares / shares.sum())
    orders = [_order(part, seed, which, int((drawn[:start] == which).sum())) for which, part in enumerate(parts)]
    for number in range(start, stop):
        yield number, next(orders[drawn[number]])


def _order(part: Part, seed: int, which: int, place: int) -> Iterator[str]:
    """Give the photos of part number `which` without end, from that at `place` on, each round in another order."""
    count = len(part.photos)
    while True:
        order = np.random.default_rng([seed, place // count, which]).permutation(count)
        for index in order[place % count :]:
            yield part.photos[index]
            place += 1
