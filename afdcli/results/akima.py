"""Akima's interpolation of many curves at once, as a bootstrap needs it: scipy's interpolator takes one at a time.

H. Akima, "A new method of interpolation and smooth curve fitting based on local procedures", 1970; derivatives as in
`scipy.interpolate.Akima1DInterpolator`, which the package `bjontegaard` uses, and a straight line for two points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Curves:
    """Curves of at least two points each, all of as many."""

    x: np.ndarray
    """(curves, points), rising."""
    y: np.ndarray
    """(curves, points)."""

    def at(self, place: np.ndarray) -> np.ndarray:
        """(curves, places): the curves at each of `place` (places,); NaN where one does not reach."""
        after = (self.x[:, None, :] <= place[None, :, None]).sum(2)  # (curves, places): points up to there
        part = np.clip(after - 1, 0, self.x.shape[1] - 2)
        row = np.arange(len(self.x))[:, None]
        step = place - self.x[row, part]
        found = np.zeros(step.shape)
        for coefficient in reversed(self._coefficients()):
            found = found * step + coefficient[row, part]
        reached = (place >= self.x[:, :1]) & (place <= self.x[:, -1:])
        return np.where(reached, found, np.nan)

    def integrals(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """(curves,): each curve's integral from `low` to `high` (curves,), both within it."""
        begin, end = (np.clip(one[:, None], self.x[:, :-1], self.x[:, 1:]) - self.x[:, :-1] for one in (low, high))
        powers = enumerate(self._coefficients(), start=1)
        parts = [coefficient * (end**power - begin**power) / power for power, coefficient in powers]
        return np.asarray(np.sum(parts, axis=(0, 2)))

    def _coefficients(self) -> tuple[np.ndarray, ...]:
        """Four of (curves, points - 1): of each part, the factors of the powers of the way from its begin."""
        width, slope = np.diff(self.x), np.diff(self.y) / np.diff(self.x)
        tangent = _tangents(slope) if slope.shape[1] > 1 else np.repeat(slope, 2, axis=1)
        before, after = tangent[:, :-1], tangent[:, 1:]
        square = (3 * slope - 2 * before - after) / width
        return self.y[:, :-1], before, square, (before + after - 2 * slope) / width**2


def _tangents(slope: np.ndarray) -> np.ndarray:
    """(curves, points): how steep each curve is at its points, of the slopes (curves, points - 1) between them."""
    first = 2 * slope[:, 0] - slope[:, 1]
    last = 2 * slope[:, -1] - slope[:, -2]
    ends = (2 * first - slope[:, 0], first, *slope.T, last, 2 * last - slope[:, -1])
    around = np.stack(ends, axis=1)  # (curves, points + 3): two more slopes at either end
    change = np.abs(np.diff(around))
    left, right = change[:, :-2], change[:, 2:]
    both = left + right
    between = (around[:, 3:] + around[:, :-3]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        weighed = (right * around[:, 1:-2] + left * around[:, 2:-1]) / both
    return np.asarray(np.where(both > 1e-9 * both.max(axis=1, keepdims=True), weighed, between))
