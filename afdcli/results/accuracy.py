"""What `afd evaluate` measured, as rows and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from afdcli.formats.rows import Row
from afdcli.options import IMAGENET_C
from afdcli.photos.damage import Level
from afdcli.results.naming import in_markdown, level_title, told_apart
from afdcli.results.statistics import (
    calibration_error,
    compare,
    likelihood_loss,
    percent,
    recovered_intervals,
    wilson,
)

COLUMNS = {
    "backbone": str,
    "weights": str,
    "codec": str,
    "quality": int,
    "passes": int,
    "order": str,
    "images": int,
    "top1": float,
    "top1_low": float,
    "top1_high": float,
    "top5": float,
    "difference": float,
    "p_value": float,
    "recovered": float,
    "agreement": float,
    "bytes_per_pixel": float,
    "parameters": int,
    "macs": int,
    "recovered_low": float,
    "recovered_high": float,
    "nll": float,
    "ece": float,
    "ce": float,
    "bits_per_pixel": float,
    "kilobytes": float,
}
"""Accuracies in percent, with the 95 % Wilson interval. `difference` is that in top-1 from the first of the weights, in
points; `p_value` that of McNemar's exact test, two-sided, on the same images; `recovered` the share of what the first
of the weights loses at this level that these win back, in percent. `agreement` is the share of images that get the same
top-1 as their undamaged original by the same classifier: it needs no labels. Of undamaged photos, `bytes_per_pixel` is
that of their files; `bits_per_pixel` is eight times as much, and `kilobytes` the mean of a file, in 1,000 bytes.
`codec` is `Degradation.kind`, `quality` that of the last pass. `parameters` and `macs` (multiply-adds for one image)
are what the weights add to the backbone. `recovered_low` and `recovered_high` are the 95 % interval of `recovered`, by
a paired bootstrap over photos; none where too little is lost. `nll` is the negative log-likelihood of the right class,
in nats; `ece` the expected calibration error of top-1 in 15 bins, in percent; `ce` the error over AlexNet's, in
percent, see `ALEXNET`."""
ALEXNET = 60.65
"""AlexNet's top-1 error, in percent, over the severities of ImageNet-C's JPEG (Hendrycks, Dietterich, ICLR 2019). The
corruption error is the mean of `ce` over their five qualities, `IMAGENET_C`; other levels have none."""
_IMAGENET_C = [Level("jpeg", level.quality, 1, "crop-first") for level in IMAGENET_C]


@dataclass(frozen=True)
class Measured:
    """What one classifier said of the photos, and what it costs."""

    weights: str
    """What `--weights` calls it."""
    classes: np.ndarray
    """(photos, levels, k) the most probable classes, most probable first; the undamaged photos are the first level."""
    probabilities: np.ndarray
    """(photos, levels, 2) what it gave the most probable class, and the right one, each in [0, 1]."""
    parameters: int
    """How many numbers the weights add to the backbone."""
    macs: int
    """How many multiply-adds they add for one image."""


def rows(
    backbone: str,
    levels: Sequence[Level],
    sizes: np.ndarray,
    labels: np.ndarray | None,
    measured: Sequence[Measured],
) -> list[Row]:
    """The values for `COLUMNS`: for each of `measured`, a row for each of the `levels`, the undamaged one first.

    `sizes` (levels, 2) are the bytes of all files, and the pixels in them; `labels` (photos,) the classes, None if they
    are not known. The first of `measured` is the one that the others are compared with.
    """
    found: list[Row] = []
    for one in measured:
        intervals = _recovered(one, measured[0], labels)
        for number, level in enumerate(levels):
            seen = one.classes[:, number]
            row: dict[str, Any] = {
                **dict.fromkeys(COLUMNS),
                "backbone": backbone,
                "weights": one.weights,
                **asdict(level),
                "images": len(seen),
                "agreement": percent(np.mean(seen[:, 0] == one.classes[:, 0, 0])),
                "bytes_per_pixel": round(float(sizes[number, 0] / sizes[number, 1]), 4),
                "parameters": one.parameters,
                "macs": one.macs,
                "bits_per_pixel": round(8 * float(sizes[number, 0] / sizes[number, 1]), 4),
                "kilobytes": round(float(sizes[number, 0]) / 1000 / len(seen), 3),
            }
            if labels is not None:
                row |= _accuracies(one, measured[0], number, labels)
                if level in _IMAGENET_C:
                    row["ce"] = percent((100 - 100 * np.mean(seen[:, 0] == labels)) / ALEXNET)
            if intervals is not None and row["recovered"] is not None:
                row["recovered_low"], row["recovered_high"] = map(_bound, intervals[number - 1])
            found.append(row)
    return found


def _accuracies(one: Measured, first: Measured, number: int, labels: np.ndarray) -> dict[str, float | None]:
    """The columns that need labels, at the level of this `number`."""
    seen = one.classes[:, number]
    right = seen[:, 0] == labels
    low, high = wilson(right)
    found: dict[str, float | None] = {
        "top1": percent(np.mean(right)),
        "top1_low": percent(low),
        "top1_high": percent(high),
        "top5": percent(np.mean((seen == labels[:, None]).any(axis=1))),
        "nll": round(likelihood_loss(one.probabilities[:, number, 1]), 4),
        "ece": percent(calibration_error(one.probabilities[:, number, 0], right)),
    }
    if one is not first:
        firsts = first.classes[:, [number, 0], 0] == labels[:, None]
        found |= compare(right, firsts[:, 0], firsts[:, 1])
    return found


def recovered_overall(measured: Sequence[Measured], labels: np.ndarray | None) -> dict[str, tuple[float, float]]:
    """The 95 % interval, in percent, of what each of `measured` recovers over all levels, by its `weights`.

    `labels` (photos,) are the classes, None if they are not known. Missing is the first of `measured`, and what has no
    bound.
    """
    intervals = {one.weights: _recovered(one, measured[0], labels) for one in measured}
    bounds = {name: found[-1] for name, found in intervals.items() if found is not None}
    return {
        name: (percent(low), percent(high)) for name, (low, high) in bounds.items() if np.isfinite([low, high]).all()
    }


def _recovered(one: Measured, first: Measured, labels: np.ndarray | None) -> np.ndarray | None:
    """`recovered_intervals` of `one` over `first`; None where there is nothing to compare."""
    if labels is None or one is first or one.classes.shape[1] < 2:
        return None
    right, firsts = (measured.classes[:, :, 0] == labels[:, None] for measured in (one, first))
    return recovered_intervals(right[:, 1:], firsts[:, 1:], firsts[:, 0])


def _bound(share: float) -> float | None:
    return percent(share) if np.isfinite(share) else None


def markdown(
    rows: Sequence[Row], milliseconds: Mapping[str, float], overall: Mapping[str, tuple[float, float]] | None = None
) -> str:
    """The rows as a table for a paper: a line a level, a column for each of the weights, the means, and what they cost.

    Without labels it is of agreement. With them, top-1 has its interval, an asterisk where it differs from the first of
    the weights with p < 0.05, and below the means is the share of the loss recovered, with its interval where
    `overall`, see `recovered_overall`, has it. `milliseconds` an image are those of backbone and module, for each of
    the weights of which they are known.
    """
    names = list(dict.fromkeys(row["weights"] for row in rows))
    by_name = {name: [row for row in rows if row["weights"] == name] for name in names}
    labelled = rows[0]["top1"] is not None
    figure = "top1" if labelled else "agreement"
    lines = [
        ["top-1, %" if labelled else "agreement, %", *(in_markdown(shown) for shown in told_apart(names).values())]
    ]
    for level in zip(*by_name.values(), strict=True):
        row = level[0]
        lines.append([level_title(row["codec"], row["quality"], row["passes"]), *map(_cell, level)])
    means = {
        name: float(np.mean([row[figure] for row in by_name[name][1:]])) for name in names if len(by_name[name]) > 1
    }
    if means:
        lines.append(["mean of the damaged", *(f"{means[name]:.1f}" for name in names)])
    if means and labelled:
        before, cost = means[names[0]], rows[0]["top1"] - means[names[0]]
        shares = [
            f"{100 * (means[name] - before) / cost:.1f} %{_interval((overall or {}).get(name))}" if cost > 0 else ""
            for name in names[1:]
        ]
        lines.append(["recovered", "", *shares])
    for title, column in (("parameters added", "parameters"), ("multiply-adds added", "macs")):
        lines.append([title, *(f"{by_name[name][0][column]:,}" for name in names)])
    lines.append(
        ["milliseconds an image", *(f"{milliseconds[name]:.1f}" if name in milliseconds else "" for name in names)]
    )
    lines.insert(1, ["---"] * len(lines[0]))
    head = f"{in_markdown(rows[0]['backbone'])}, {rows[0]['images']:,} photos, {rows[0]['order']}.\n\n"
    return head + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _interval(bounds: tuple[float, float] | None) -> str:
    return f" ({bounds[0]:.1f} - {bounds[1]:.1f})" if bounds else ""


def _cell(row: Row) -> str:
    if row["top1"] is None:
        return f"{row['agreement']:.1f}"
    differs = "\\*" if row["p_value"] is not None and row["p_value"] < 0.05 else ""
    return f"{row['top1']:.1f}{differs} ({row['top1_low']:.1f} - {row['top1_high']:.1f})"
