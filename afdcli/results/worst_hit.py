"""Which classes compression hits worst, and which of their photos it turns, both against the same photos undamaged.

Where labels are known, a class is that of the label, and being right is to find it. Elsewhere it is the one that the
first of the weights see in the undamaged photo, and each of the weights are right where they see what they saw in that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afdcli.results.outcomes import Outcomes
from afdcli.results.statistics import loss_limits

SURE = 0.975
"""How sure each end of an interval is: both hold with a probability of 95 %."""


@dataclass(frozen=True, slots=True)
class Change:
    """By how much a share of photos changes, and the 95 % interval of that; each in [-1, 1]."""

    change: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassHit:
    """What becomes of the photos of one class."""

    index: int
    """The number of the class."""
    members: np.ndarray
    """(photos,) the places of its photos in `Outcomes.paths`."""
    undamaged: list[float]
    """For each of the weights, the share that are right on the undamaged photos."""
    damaged: list[Change]
    """For each of the weights, the change from there to the mean over all levels of damage."""
    won_back: list[Change | None]
    """For each of the weights, the difference from the first of the weights in that mean; None for those."""


def right(outcomes: Outcomes) -> np.ndarray:
    """(photos, weights, levels) truth values, see above; the undamaged level is the first."""
    seen = outcomes.array("classes")[..., 0]
    labels = outcomes.labels
    expected = seen[:, :, :1] if labels is None else labels[:, None, None]
    return np.asarray(seen == expected)


def class_hits(outcomes: Outcomes) -> list[ClassHit]:
    """All classes that there are photos of, the worst-hit first; there must be a level of damage.

    That is the class which, by the first of the weights, surely loses most: whose loss is greatest at the lower end of
    its interval. By the loss alone, classes of one or two photos would come first, where chance rules.
    """
    correct = right(outcomes)
    labels = outcomes.labels
    indices, codes = np.unique(outcomes.array("classes")[:, 0, 0, 0] if labels is None else labels, return_inverse=True)
    counts = np.bincount(codes)
    before, after = correct[:, :, 0].astype(float), correct[:, :, 1:]
    undamaged = [np.bincount(codes, before[:, number]) / counts for number in range(correct.shape[1])]
    damaged = [_paired(codes, correct[:, number, :1], after[:, number]) for number in range(correct.shape[1])]
    won_back = [_paired(codes, after[:, 0], after[:, number]) for number in range(1, correct.shape[1])]
    members = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts)[:-1])
    hits = [
        ClassHit(
            int(index),
            members[place],
            [float(one[place]) for one in undamaged],
            [one[place] for one in damaged],
            [None, *(one[place] for one in won_back)],
        )
        for place, index in enumerate(indices)
    ]
    return sorted(hits, key=lambda one: (one.damaged[0].high, one.damaged[0].change, one.index))


def _paired(codes: np.ndarray, before: np.ndarray, after: np.ndarray) -> list[Change]:
    """The change of each class from `before` to `after`, (photos, levels) truth values; `codes` (photos,) from 0.

    The interval is that of paired shares, see `loss_limits`, for the mean table over levels, in which a photo may count
    in part. That errs on the safe side, as a photo's mean over levels varies less than a yes or no of the same mean:
    for five levels of JPEG, intervals hold in some 99 % of classes.
    """
    both, lost, won, neither = (
        np.bincount(codes, cell.mean(axis=1))
        for cell in (before & after, before & ~after, ~before & after, ~before & ~after)
    )
    low, high = loss_limits(both, lost, won, neither, SURE)
    change = (won - lost) / np.bincount(codes)
    return [Change(*map(float, one)) for one in zip(change, -high, -low, strict=True)]


@dataclass(frozen=True, slots=True)
class Flips:
    """The photos of a class that are right undamaged and wrong at some level, by any of the weights."""

    photos: list[int]
    """Their places in `Outcomes.paths`: first those that the first of the weights lose at most levels."""
    lost: int
    """How many of them the first of the weights lose."""
    won_back: list[int]
    """For each of the weights, how many of these they have right at a level where the first ones are wrong."""


def flips(correct: np.ndarray, members: np.ndarray) -> Flips:
    """Those among `members`, see `ClassHit`; `correct` is what `right` gives."""
    undamaged, damaged = correct[members, :, 0], correct[members, :, 1:]
    wrong = undamaged[:, :, None] & ~damaged  # (members, weights, levels)
    flipped = wrong.any(axis=(1, 2))
    back = (wrong[:, :1] & damaged).any(axis=2)  # (members, weights)
    order: Sequence[int] = np.lexsort((members, -wrong.sum(axis=(1, 2)), -wrong[:, 0].sum(axis=1))).tolist()
    return Flips(
        [int(members[place]) for place in order if flipped[place]],
        int(wrong[:, 0].any(axis=1).sum()),
        back.sum(axis=0).tolist(),
    )
