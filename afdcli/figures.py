"""Pictures of what was measured, as PNG files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
