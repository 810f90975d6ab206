"""How far one curve of accuracy against rate lies from another, as one figure: the Bjontegaard delta.

It is the mean distance of two curves over the range that both have: of the logarithm of bytes at the same accuracy
(BD-rate), or of the accuracy at the same logarithm of bytes (BD-accuracy), interpolated as by Akima (Herglotz et al.,
arXiv 2202.12565), by the package `bjontegaard`. Where it would mean nothing, which the package at best warns of, there
is a reason instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bjontegaard
import numpy as np

LEAST_OVERLAP = 0.5
"""The least part of the smaller range that both curves must have."""
SAME = 0.01
"""Curves that are nearer than this, as a share of bytes, are taken for the same when it comes to crossing."""
GRID = 101
"""At how many accuracies curves are looked at for a crossing."""
Band = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Points:
    """A curve: what is measured at some levels, the fewest bytes first."""

    kilobytes: np.ndarray
    """(points,) the mean size of a file, in 1,000 bytes."""
    accuracy: np.ndarray
    """(points,) in percent."""


@dataclass(frozen=True)
class Delta:
    """How far one curve lies from another."""

    rate: float = np.nan
    """BD-rate in percent: negative where it takes fewer bytes. NaN where there is none."""
    accuracy: float = np.nan
    """BD-accuracy in points: positive where it is more accurate. NaN where there is none."""
    accuracies: tuple[float, float] | None = None
    """The range of accuracies, in percent, that `rate` is the mean over."""
    kilobytes: tuple[float, float] | None = None
    """The range of bytes that `accuracy` is the mean over."""
    reason: str = ""
    """Why there is no figure, or not both."""


def delta(anchor: Points, test: Points, band: Band | None = None) -> Delta:
    """How far `test` lies from `anchor`, or why that cannot be said.

    They cross where their `band` does: what their `distances` may be, given that they are measured on some photos only.
    Without one, it is the distances themselves.
    """
    if reason := no_curve(anchor) or no_curve(test):
        return Delta(reason=reason)
    accuracies = shared_range(anchor.accuracy, test.accuracy)
    logarithms = shared_range(np.log10(anchor.kilobytes), np.log10(test.kilobytes))
    if accuracies is not None and band is None:
        band = (distances(anchor, test, np.linspace(*accuracies, GRID)),) * 2
    if band is not None and crosses(*band):
        return Delta(reason="the curves cross: at some accuracies one takes fewer bytes, at others the other one")
    missing = [what for what, found in (("accuracies", accuracies), ("bytes", logarithms)) if found is None]
    return Delta(
        np.nan if accuracies is None else bd_rate(anchor, test),
        np.nan if logarithms is None else bd_accuracy(anchor, test),
        accuracies,
        None if logarithms is None else (10 ** logarithms[0], 10 ** logarithms[1]),
        f"the curves share less than half of the smaller range of {' and of '.join(missing)}" if missing else "",
    )


def bd_rate(anchor: Points, test: Points) -> float:
    """How many percent more bytes `test` takes than `anchor` for the same accuracy, in the mean. Both must rise."""
    return float(_package(bjontegaard.bd_rate, anchor, test))


def bd_accuracy(anchor: Points, test: Points) -> float:
    """How many points more accurate `test` is than `anchor` at the same bytes, in the mean. Both must rise."""
    return float(_package(bjontegaard.bd_psnr, anchor, test))


def _package(compute: Callable[..., Any], anchor: Points, test: Points, *, interpolators: bool = False) -> Any:
    curves = (anchor.kilobytes, anchor.accuracy, test.kilobytes, test.accuracy)
    return compute(*curves, method="akima", require_matching_points=False, interpolators=interpolators, min_overlap=0)


def no_curve(points: Points) -> str:
    """Why these are no curve that could be compared; empty if they are one."""
    if len(points.accuracy) < 2:
        return "one point is no curve: measure more qualities"
    if not (np.diff(points.kilobytes) > 0).all():
        return "two levels have the same bytes"
    if not (np.diff(points.accuracy) > 0).all():
        return "a curve does not rise: more bytes do not give more accuracy everywhere"
    return ""


def shared_range(first: np.ndarray, second: np.ndarray) -> tuple[float, float] | None:
    """The range that two rising rows of numbers share; None if it is too small, see `LEAST_OVERLAP`."""
    low, high = max(first[0], second[0]), min(first[-1], second[-1])
    smaller = min(first[-1] - first[0], second[-1] - second[0])
    return (float(low), float(high)) if high - low >= LEAST_OVERLAP * smaller else None


def distances(anchor: Points, test: Points, accuracies: np.ndarray) -> np.ndarray:
    """The distance in the decimal logarithm of bytes at each of `accuracies`; NaN where a curve does not reach."""
    _, first, second = _package(bjontegaard.bd_rate, anchor, test, interpolators=True)
    low, high = max(anchor.accuracy[0], test.accuracy[0]), min(anchor.accuracy[-1], test.accuracy[-1])
    reached = (accuracies >= low) & (accuracies <= high)
    return np.where(reached, second(accuracies) - first(accuracies), np.nan)


def crosses(low: np.ndarray, high: np.ndarray) -> bool:
    """Whether distances that lie between `low` and `high` are above 0 somewhere and below 0 elsewhere, see `SAME`."""
    near = np.log10(1 + SAME)
    return bool((low > near).any() and (high < -near).any())
