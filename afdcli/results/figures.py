"""Pictures of what was measured, as PNG files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator

from afdcli import atomic
from afdcli.formats.marks import PNG_KEY
from afdcli.formats.rows import Row
from afdcli.results.naming import WEIGHTS, damage_title, is_compression, told_apart, visible

RIGHT_ANGLE = 90.0
SMOOTHING = 50
"""A curve of many steps has about so many points, each the mean of the steps around it."""

ABREAST = 7
"""How many panels stand beside each other."""


@dataclass(frozen=True)
class Explanation:
    """One photo as the network sees it, and what happens to it at the tap."""

    title: str
    """What is explained: the photo, or how it was compressed."""
    photo: np.ndarray
    """(H, W, 3) uint8."""
    compressed: np.ndarray | None
    """(H, W, 3) uint8, the photo compressed as asked; None if that was not asked for."""
    drift: np.ndarray
    """(h, w) the drift map, see `Description`, of the compressed photo if there is one."""
    in_degrees: bool
    """Whether that is an estimate of `before`."""
    before: np.ndarray | None
    """(h, w) degrees between the features of the compressed photo and of the photo itself."""
    after: np.ndarray | None
    """(h, w) degrees, as `before`, with the module."""
    tops: dict[str, list[tuple[str, float]]]
    """Title -> the classes, (label, probability), most probable first."""


@contextmanager
def _names_as_they_are() -> Iterator[None]:
    """While it lasts, no text is a formula: names of files and labels are not ours, and may have anything in them."""
    with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}):
        yield


def _shown(name: str) -> str:
    """`name` for a picture. What begins with `_` is dropped from legends, so a space that nobody sees goes before."""
    return f"{' ' * name.startswith('_')}{visible(name)}"


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
    for name in ("loss", "feature", "stage", "logit", "drift", "pixel", "quality"):
        if not rows[0][name]:  # a loss that the method does not have
            continue
        values = np.array([float(row[name]) for row in rows])
        losses.plot([steps[part].mean() for part in parts], [values[part].mean() for part in parts], label=name)
    losses.set(title="Training", xlabel="step", ylabel="loss", yscale="log")

    looks = [row for row in rows if row["divergence"]]
    at = [int(row["step"]) for row in looks]
    for name, label, style in (
        ("clean", "undamaged", "C2-o"),
        ("agreement", "damaged, with the module", "C0-o"),
        ("agreement_without", "damaged, without it", "C7--o"),
    ):
        agreement.plot(at, [float(row[name]) for row in looks], style, markersize=3, label=label)
    agreement.set(title="Photos held out", xlabel="step", ylabel="same class as the original, %")
    for axes in (losses, agreement):
        _plain(axes)
    _save(figure, picture, "afd train", 150)


@_names_as_they_are()
def accuracy_curves(rows: Sequence[Row], picture: Path) -> None:
    """Draw what `afd evaluate` measured: a panel for each codec and number of passes, a line for each module."""
    labelled = rows[0]["top1"] is not None
    endings = told_apart(list(dict.fromkeys(row["weights"] for row in rows)))
    lines = list(dict.fromkeys((row["backbone"], row["weights"]) for row in rows))
    several = len({backbone for backbone, _ in lines}) > 1
    panels = list(dict.fromkeys((row["codec"], row["passes"]) for row in rows if row["quality"] is not None))
    width = min(max(1, len(panels)), ABREAST)
    height = -(-max(1, len(panels)) // width)
    figure = Figure(figsize=(1 + 4 * width, 4 * height), layout="constrained")
    grid = figure.subplots(height, width, sharey=True, squeeze=False)
    for axes in grid.flat[max(1, len(panels)) :]:
        axes.set_axis_off()
    for axes, (codec, passes) in zip(grid.flat, panels, strict=False):
        for number, line in enumerate(lines):
            mine = [row for row in rows if (row["backbone"], row["weights"]) == line]
            shown = [row for row in mine if (row["codec"], row["passes"]) == (codec, passes)]
            name = f"{line[0]}, {endings[line[1]]}" if several else endings[line[1]]
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
            axes.plot(place, figures, f"{colour}-o", markersize=4, label=_shown(name))
        scale = "quality" if is_compression(codec) else "severity"
        axes.set(title=f"{passes} passes" if passes > 1 else "", xlabel=f"{damage_title(codec)} {scale}", xticks=place)
        if scale == "quality":  # damage grows to the right
            axes.invert_xaxis()
        _plain(axes)
    for axes in grid[:, 0] if panels else ():
        axes.set_ylabel("top-1, %; dotted: undamaged" if labelled else "agreement, %")
    _save(figure, picture, "afd evaluate", 150)


@_names_as_they_are()
def rate_curves(rows: Sequence[Row], picture: Path) -> None:
    """Draw accuracy over the size of files: a colour for each codec, a kind of line for each of the weights."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    lines = list(dict.fromkeys((row["backbone"], row["weights"]) for row in rows))
    kinds = list(dict.fromkeys((row["codec"], row["passes"]) for row in rows if is_compression(row["codec"])))
    measure = "agreement" if rows[0]["top1"] is None else "top1"
    for number, (codec, passes) in enumerate(kinds):
        for line, style in zip(lines, _styles(len(lines)), strict=True):
            mine = [row for row in rows if (row["backbone"], row["weights"]) == line]
            shown = [row for row in mine if (row["codec"], row["passes"]) == (codec, passes)]
            shown.sort(key=lambda row: row["kilobytes"])
            size, colour = [row["kilobytes"] for row in shown], f"C{number % 10}"
            if measure == "top1":
                low, high = ([row[end] for row in shown] for end in ("top1_low", "top1_high"))
                axes.fill_between(size, low, high, color=colour, alpha=0.07, lw=0)
            axes.plot(size, [row[measure] for row in shown], color=colour, ls=style, marker="o", ms=4)
        axes.plot([], [], color=colour, lw=3, label=damage_title(codec) + f", {passes} passes" * (passes > 1))
    endings, several = told_apart([weights for _, weights in lines]), len({backbone for backbone, _ in lines}) > 1
    for (backbone, weights), style in zip(lines, _styles(len(lines)), strict=True):
        words = WEIGHTS.get(weights, f"with {_shown(endings[weights])}")
        if len(lines) > 1:
            axes.plot([], [], color="0.3", ls=style, label=f"{backbone}, {words}" if several else words)
    if measure == "top1":
        axes.fill_between([], [], color="0.5", alpha=0.3, lw=0, label="95 % interval")
    _undamaged(axes, rows[0], measure)
    about = f"{rows[0]['images']:,} photos: the same accuracy from smaller files is further left"
    axes.set_title(about, loc="left")
    axes.set(
        xlabel="size of a file, kilobytes (the mean over the photos)",
        ylabel="photos in the right class, %" if measure == "top1" else "photos in the class of their original, %",
        xscale="log",
    )
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    _plain(axes)
    _save(figure, picture, "afd evaluate", 150)


def _styles(count: int) -> list[str]:
    """So many kinds of line: dashed for the first of several weights, which the others are compared with."""
    return ["-"] if count == 1 else ["--", *(("-", "-.", ":")[number % 3] for number in range(count - 1))]


def _undamaged(axes: Axes, row: Row, measure: str) -> None:
    """A line at what is measured on the photos as they are, with a mark at their own size."""
    size, height = row["kilobytes"], row[measure]
    axes.axhline(height, color="0.5", lw=1, ls=(0, (1, 2)))
    axes.plot(size, height, "*", color="0.3", ms=11)
    said = f"the photos as they are: {height:.1f} %, {size:.0f} kB "
    axes.annotate(said, (size, height), (0, 8), textcoords="offset points", ha="right", color="0.3")


@_names_as_they_are()
def explanation(explained: Explanation, picture: Path) -> None:
    """Draw one photo: as it is, compressed, its drift map, the feature angles; and the classes below."""
    figure = Figure(figsize=(15, 6.5), layout="constrained")
    above, below = cast("Sequence[SubFigure]", figure.subfigures(2, 1, height_ratios=(1.2, 1)))
    shown = explained.photo if explained.compressed is None else explained.compressed
    panels: list[tuple[str, np.ndarray, np.ndarray | None, float]] = [("photo", explained.photo, None, 1.0)]
    if explained.compressed is not None:
        panels.append((explained.title, explained.compressed, None, 1.0))
    most = RIGHT_ANGLE if explained.before is None else float(explained.before.max())
    panels.append((_drift_title(explained), shown, explained.drift, most if explained.in_degrees else 1.0))
    if explained.before is not None and explained.after is not None:
        panels.append((f"feature angle, {explained.before.mean():.0f}°", shown, explained.before, most))
        panels.append((f"feature angle, de-drifted, {explained.after.mean():.0f}°", shown, explained.after, most))
    for axes, (title, image, values, most) in zip(above.subplots(1, len(panels)), panels, strict=True):
        height, width = image.shape[:2]
        axes.imshow(image)
        if values is not None:
            heat = axes.imshow(values, cmap="magma", vmin=0, vmax=most, alpha=0.7, extent=(0, width, height, 0))
            above.colorbar(heat, ax=axes, shrink=0.6)
        axes.set(title=title, xticks=(), yticks=())
    for axes, (title, classes) in zip(below.subplots(1, len(explained.tops)), explained.tops.items(), strict=True):
        names = [_shown(label.split(",")[0]) for label, _ in classes]
        axes.barh(range(len(classes)), [probability for _, probability in classes], color="C0")
        axes.set(title=title, yticks=range(len(classes)), yticklabels=names, xlim=(0, 1), xlabel="probability")
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, picture, "afd explain", 100)


def _drift_title(explained: Explanation) -> str:
    drift, true = explained.drift, explained.before
    if not explained.in_degrees:
        return f"drift map, mean {drift.mean():.2f}"
    title = f"estimated angle, {drift.mean():.0f}°"
    if true is None or drift.shape != true.shape or not drift.std() * true.std() > 0:
        return title
    return f"{title}, correlation {np.corrcoef(drift.ravel(), true.ravel())[0, 1]:.2f}"


def drift_statistics(points: Sequence[Mapping[str, float]], picture: Path) -> None:
    """Draw the angles of features over those of DCT coefficients, a colour for each quality (AFD, figure 4)."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for number, quality in enumerate(sorted({point["quality"] for point in points}, reverse=True)):
        mine = [point for point in points if point["quality"] == quality]
        place = [point["dct_angle"] for point in mine], [point["feature_angle"] for point in mine]
        axes.scatter(*place, s=8, color=f"C{number}", alpha=0.6, label=f"JPEG quality {quality}")
    axes.set(xlabel="angle of the DCT coefficients, degrees", ylabel="angle of the features at the tap, degrees")
    _plain(axes)
    _save(figure, picture, "afd explain", 150)


def _save(figure: Figure, picture: Path, program: str, dpi: int) -> None:
    """Write `figure` as PNG, all of it or nothing, with the mark of the command that drew it."""
    with atomic.file(picture) as fresh:
        figure.savefig(fresh, dpi=dpi, metadata={PNG_KEY: program})


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
