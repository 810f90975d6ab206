"""Pictures of what was measured, as PNG files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from afdcli.results import Row

SMOOTHING = 50
"""A curve of many steps has about so many points, each the mean of the steps around it."""


def training_curves(log: Path, picture: Path) -> None:
    """Draw the log of `afd train`: on the left the losses, on the right the photos held out. Nothing if it is empty."""
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return
    figure = Figure(figsize=(10, 4), layout="constrained")  # not pyplot, which would want a display
    losses, agreement = figure.subplots(1, 2)
    steps = np.array([int(row["step"]) for row in rows])
    parts = np.array_split(np.arange(len(rows)), min(len(rows), SMOOTHING))
    for name in ("loss", "feature", "stage", "logit"):
        values = np.array([float(row[name]) for row in rows])
        losses.plot([steps[part].mean() for part in parts], [values[part].mean() for part in parts], label=name)
    losses.set(title="Training", xlabel="step", ylabel="loss", yscale="log")

    looks = [row for row in rows if row["divergence"]]
    at = [int(row["step"]) for row in looks]
    for name, label, style in (
        ("clean", "undamaged", "C2-o"),
        ("agreement", "damaged, with the module", "C0-o"),
        ("agreement_without", "damaged, without it", "C7--"),
    ):
        agreement.plot(at, [float(row[name]) for row in looks], style, markersize=3, label=label)
    agreement.set(title="Photos held out", xlabel="step", ylabel="same class as the original, %")
    for axes in (losses, agreement):
        _plain(axes)
    figure.savefig(picture, dpi=150)


def accuracy_curves(rows: Sequence[Row], picture: Path) -> None:
    """Draw what `afd evaluate` measured: a panel for each codec and number of passes, a line for each module."""
    labelled = rows[0]["top1"] is not None
    panels = list(dict.fromkeys((row["codec"], row["passes"]) for row in rows if row["quality"] is not None))
    figure = Figure(figsize=(1 + 4 * max(1, len(panels)), 4), layout="constrained")
    for axes, (codec, passes) in zip(
        figure.subplots(1, max(1, len(panels)), sharey=True, squeeze=False)[0], panels, strict=False
    ):
        for number, name in enumerate(dict.fromkeys(row["weights"] for row in rows)):
            mine = [row for row in rows if row["weights"] == name]
            shown = [row for row in mine if (row["codec"], row["passes"]) == (codec, passes)]
            place, colour = [row["quality"] for row in shown], f"C{number}"
            if labelled:
                axes.fill_between(
                    place,
                    [r["top1_low"] for r in shown],
                    [r["top1_high"] for r in shown],
                    color=colour,
                    alpha=0.15,
                    lw=0,
                )
                axes.axhline(mine[0]["top1"], color=colour, lw=1, ls=":")
            figures = [row["top1"] if labelled else row["agreement"] for row in shown]
            axes.plot(place, figures, f"{colour}-o", markersize=4, label=Path(name).stem)
        axes.set(title=f"{passes} passes" if passes > 1 else "", xlabel=f"{codec.upper()} quality")
        axes.invert_xaxis()
        _plain(axes)
    if panels:
        figure.axes[0].set_ylabel("top-1, %; dotted: undamaged" if labelled else "agreement, %")
    figure.savefig(picture, dpi=150)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
