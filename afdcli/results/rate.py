"""Accuracy against rate: curves over the sizes of files, and how far they lie apart, with intervals.

A photo is drawn with all that was measured of it, so that curves are compared on the same photos; see `delta` for the
figures themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from afdcli.formats.rows import Row
from afdcli.results.akima import Curves
from afdcli.results.delta import GRID, Band, Delta, Points, delta, no_curve, shared_range
from afdcli.results.naming import damage_title, in_markdown, is_compression, told_apart
from afdcli.results.outcomes import Outcomes
from afdcli.results.statistics import resampled

COLUMNS = {
    "backbone": str,
    "weights": str,
    "codec": str,
    "passes": int,
    "order": str,
    "against_weights": str,
    "against_codec": str,
    "images": int,
    "measure": str,
    "bd_rate": float,
    "bd_rate_low": float,
    "bd_rate_high": float,
    "accuracy_from": float,
    "accuracy_to": float,
    "bd_accuracy": float,
    "bd_accuracy_low": float,
    "bd_accuracy_high": float,
    "kilobytes_from": float,
    "kilobytes_to": float,
    "reason": str,
}
"""A row for each pair of curves. `bd_rate` is in percent of the bytes of what it is compared with, `bd_accuracy` in
points of `measure`, `top1` or `agreement`; each has its 95 % interval, and the range that it is the mean over. `reason`
says why one or both of them are missing."""
ANCHOR = "jpeg"
"""The codec that the others are compared with."""
SAMPLES = 1000
"""How many samples of the photos the bootstrap draws."""
NOISE = 2.0
"""By how many standard errors accuracy may fall where bytes rise: that is noise, and more is no rising curve."""
COMMON = 0.95
"""In how many of the samples there must be a figure for it to have an interval."""
MEASURES = {"top1": "top-1", "agreement": "agreement"}
Interval = tuple[float, float]
Pair = tuple["Samples", "Samples"]


@dataclass(frozen=True)
class Curve:
    """What one classifier makes of the photos at the levels of one kind, the fewest bytes first."""

    weights: str
    codec: str
    passes: int
    right: np.ndarray
    """(photos, points) truth values: whether it names the right class, or that of the undamaged photo."""
    kilobytes: np.ndarray
    """(photos, points) the size of each file, in 1,000 bytes."""

    def points(self) -> Points:
        """All points of the curve, but for those that are less accurate than cheaper ones by no more than noise."""
        accuracy, kept = self.right.mean(0), [0]
        for number in range(1, len(accuracy)):
            change = self.right[:, number].astype(float) - self.right[:, kept[-1]]
            noise = NOISE * change.std() / np.sqrt(len(change))
            if change.mean() > 0 or change.mean() < -noise:
                kept.append(number)
        if len(kept) == 1:  # none rises: as a whole, that is more than noise can explain away
            kept = list(range(len(accuracy)))
        return Points(self.kilobytes.mean(0)[kept], 100 * accuracy[kept])


def curves_of(outcomes: Outcomes) -> list[Curve]:
    """The curves of all kinds of damage, by each of the weights.

    Where labels are not known, a photo is right if it has the class of its undamaged original.
    """
    levels, sizes, labels = outcomes.run.levels, outcomes.array("sizes"), outcomes.labels
    kinds: dict[tuple[str, int], list[int]] = {}
    mean = sizes[:, :, 0].mean(0)
    for number in sorted(range(1, len(levels)), key=lambda one: mean[one]):
        kinds.setdefault((levels[number].codec, levels[number].passes), []).append(number)
    order = [kind for kind in dict.fromkeys((one.codec, one.passes) for one in levels[1:]) if is_compression(kind[0])]
    found = []
    for one in outcomes.measured:
        said = one.classes[:, :, 0]
        right = said == (said[:, :1] if labels is None else labels[:, None])
        for codec, passes in order:
            chosen = kinds[codec, passes]
            found.append(Curve(one.weights, codec, passes, right[:, chosen], sizes[:, chosen, 0] / 1000))
    return found


def pairs(curves: Sequence[Curve]) -> Iterator[tuple[Curve, Curve]]:
    """What is compared with what: each codec with JPEG by the same weights, each of the weights with the first."""
    by_key = {(one.weights, one.codec, one.passes): one for one in curves}
    for one in curves:
        anchor = by_key.get((one.weights, ANCHOR, one.passes))
        if anchor is not None and anchor is not one:
            yield anchor, one
    for one in curves:
        if one.weights != curves[0].weights:
            yield by_key[curves[0].weights, one.codec, one.passes], one


def rate_rows(outcomes: Outcomes) -> list[Row]:
    """The values for `COLUMNS`: a row for each of the `pairs` of curves."""
    order = outcomes.run.levels[0].order
    measure = "agreement" if outcomes.labels is None else "top1"
    shared = {"backbone": outcomes.run.backbone, "order": order, "measure": measure}
    return [{name: {**shared, **row}[name] for name in COLUMNS} for row in compare_curves(curves_of(outcomes))]


def compare_curves(curves: Sequence[Curve], seed: int = 0) -> list[Row]:
    """What the rows have of each of the `pairs` of `curves`. The same `seed` draws the same photos, for all of them."""
    if not curves:
        return []
    drawn = dict(zip(map(id, curves), _drawn(curves, seed), strict=True))
    rows: list[Row] = []
    for anchor, test in pairs(curves):
        found, rate, accuracy = _compared(anchor, test, (drawn[id(anchor)], drawn[id(test)]))
        rows.append(
            {
                "weights": test.weights,
                "codec": test.codec,
                "passes": test.passes,
                "against_weights": anchor.weights,
                "against_codec": anchor.codec,
                "images": len(test.right),
                **_figures("bd_rate", found.rate, rate),
                **_range("accuracy", found.accuracies),
                **_figures("bd_accuracy", found.accuracy, accuracy),
                **_range("kilobytes", found.kilobytes),
                "reason": found.reason or None,
            }
        )
    return rows


@dataclass(frozen=True)
class Samples:
    """A curve in samples of the photos: of each, the points that are more accurate than all that take fewer bytes.

    They are what somebody would choose from. By noise alone, most samples have points that are not.
    """

    kilobytes: np.ndarray
    """(samples, points), those of the curve first."""
    accuracy: np.ndarray
    """(samples, points) likewise, in percent."""
    count: np.ndarray
    """(samples,) how many points are of the curve."""

    @classmethod
    def of(cls, kilobytes: np.ndarray, accuracy: np.ndarray) -> Samples:
        """Of all points (samples, points), the fewest bytes first."""
        chosen = np.ones(accuracy.shape, bool)
        best = np.maximum.accumulate(accuracy, axis=1)
        chosen[:, 1:] = (accuracy[:, 1:] > best[:, :-1]) & (np.diff(kilobytes) > 0)
        order = np.argsort(~chosen, axis=1, kind="stable")
        kilobytes, accuracy = (np.take_along_axis(one, order, 1) for one in (kilobytes, accuracy))
        return cls(kilobytes, accuracy, chosen.sum(1))

    def axes(self, along: str) -> tuple[np.ndarray, np.ndarray]:
        """What is interpolated, (samples, points) each: the logarithm of bytes `along` accuracy, or the other way."""
        logarithm = np.log10(self.kilobytes)
        return (self.accuracy, logarithm) if along == "accuracy" else (logarithm, self.accuracy)

    def parts(self) -> Iterator[tuple[np.ndarray, int]]:
        """The samples whose curves have as many points, as truth values (samples,), and how many."""
        for count in range(2, self.kilobytes.shape[1] + 1):
            yield self.count == count, count


def _drawn(curves: Sequence[Curve], seed: int) -> list[Samples]:
    """Each curve in `SAMPLES` samples of the photos, the same ones for all curves."""
    columns = np.column_stack([part for one in curves for part in (one.kilobytes, 100.0 * one.right)])
    means = resampled(columns, seed, SAMPLES).astype(float) / len(columns)
    ends = np.cumsum([2 * one.right.shape[1] for one in curves])
    return [Samples.of(*np.split(part, 2, axis=1)) for part in np.split(means, ends[:-1], axis=1)]


def _compared(anchor: Curve, test: Curve, drawn: Pair) -> tuple[Delta, Interval | None, Interval | None]:
    """How far `test` lies from `anchor`, and the 95 % intervals of rate and accuracy, None where there is none."""
    first, second = anchor.points(), test.points()
    if no_curve(first) or no_curve(second):
        return delta(first, second), None, None
    shared = shared_range(first.accuracy, second.accuracy)
    found = delta(first, second, None if shared is None else _band(drawn, np.linspace(*shared, GRID)))
    rate = None if np.isnan(found.rate) else _interval(100 * (10 ** _mean_distances(drawn, "accuracy") - 1))
    accuracy = None if np.isnan(found.accuracy) else _interval(_mean_distances(drawn, "kilobytes"))
    return found, rate, accuracy


def _mean_distances(drawn: Pair, along: str) -> np.ndarray:
    """(samples,): the mean distance of two curves over what both have `along` an axis; NaN if that is nothing."""
    axes = [one.axes(along) for one in drawn]
    low = np.maximum(*(x[:, 0] for x, _ in axes))
    high = np.minimum(*(x[np.arange(len(x)), one.count - 1] for (x, _), one in zip(axes, drawn, strict=True)))
    areas = np.full((2, len(low)), np.nan)
    for (x, y), one, area in zip(axes, drawn, areas, strict=True):
        for mine, count in one.parts():
            mine = mine & (low < high)
            area[mine] = Curves(x[mine, :count], y[mine, :count]).integrals(low[mine], high[mine])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((areas[1] - areas[0]) / (high - low))


def _band(drawn: Pair, accuracies: np.ndarray) -> Band:
    """The 95 % band of the distance in the logarithm of bytes at `accuracies`, where nearly all samples reach.

    It is empty where they reach none, as those of few photos may.
    """
    ways = np.full((2, len(drawn[0].count), len(accuracies)), np.nan)
    for one, way in zip(drawn, ways, strict=True):
        x, y = one.axes("accuracy")
        for mine, count in one.parts():
            way[mine] = Curves(x[mine, :count], y[mine, :count]).at(accuracies)
    distance = ways[1] - ways[0]
    reached = np.isfinite(distance).mean(0) >= COMMON
    if not reached.any():
        return np.empty(0), np.empty(0)
    low, high = np.nanquantile(distance[:, reached], (0.025, 0.975), axis=0)
    return low, high


def _interval(figures: np.ndarray) -> Interval | None:
    """The 95 % interval of the `figures` of all samples; None where one in twenty has none."""
    found = figures[np.isfinite(figures)]
    if len(found) < COMMON * len(figures):
        return None
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _figures(name: str, value: float, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {name: _digits(value), f"{name}_low": _digits(low), f"{name}_high": _digits(high)}


def _range(name: str, found: Interval | None) -> dict[str, float | None]:
    low, high = found or (None, None)
    return {f"{name}_from": _digits(low), f"{name}_to": _digits(high)}


def _digits(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else round(value, 2)


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table for a paper, with a heading; empty where nothing is compared."""
    if not rows:
        return ""
    lines = [["", "against", "bytes for the same accuracy", "averaged over", "accuracy at the same bytes"]]
    lines.append(["---"] * len(lines[0]))
    names = told_apart(list(dict.fromkeys(row[key] for row in rows for key in ("weights", "against_weights"))))
    for row in rows:
        passes = f", {row['passes']} passes" * (row["passes"] > 1)
        what = f"{damage_title(row['codec'])}{passes}, {names[row['weights']]}"
        against = f"{damage_title(row['against_codec'])}{passes}, {names[row['against_weights']]}"
        over = "" if row["accuracy_from"] is None else f"{row['accuracy_from']:.1f} to {row['accuracy_to']:.1f} %"
        reason = f"none: {row['reason']}" if row["reason"] else ""
        rate, accuracy = _cell(row, "bd_rate", " %"), _cell(row, "bd_accuracy", "")
        lines.append([in_markdown(what), in_markdown(against), rate or reason, over, accuracy or reason * bool(rate)])
    head = f"\nBjontegaard deltas of {MEASURES[rows[0]['measure']]}, with 95 % intervals.\n\n"
    return head + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(row: Row, name: str, unit: str) -> str:
    if row[name] is None:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:+.1f}{unit}" + ("" if low is None else f" ({low:+.1f} to {high:+.1f})")
