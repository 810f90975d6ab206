"""`afd evaluate`: what compression costs a classifier, and what a remedy wins back, with intervals.

Each photo is read once. All levels of damage are made of those pixels, and all classifiers see the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from afdcli import atomic
from afdcli.engines.engine import Engine
from afdcli.engines.loading import load_engine
from afdcli.errors import WrongUse
from afdcli.formats import codecs
from afdcli.machines.cluster import ray_map_parts
from afdcli.machines.processes import CRASHED, in_parts, ordered_map
from afdcli.options import Degradation, EvaluateOptions, degradations
from afdcli.photos.damage import Case, Damaged, Level, damage
from afdcli.photos.labels import labels_of
from afdcli.photos.sources import Sources
from afdcli.results.copies import read_copies
from afdcli.results.naming import in_markdown, told_apart
from afdcli.results.record import check_may_write, record
from afdcli.results.rowfile import ResultFile, Row, files_of

PROGRAM = "afd evaluate"
TOP = 5

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
}
"""Accuracies in percent, with the 95 % Wilson interval. `difference` is that in top-1 from the first of the weights, in
points; `p_value` that of McNemar's exact test, two-sided, on the same images; `recovered` the share of what the first
of the weights loses at this level that these win back, in percent. `agreement` is the share of images that get the same
top-1 as their undamaged original by the same classifier: it needs no labels. Of undamaged photos, `bytes_per_pixel` is
that of their files. `codec` is `Degradation.kind`, `quality` that of the last pass. `parameters` and `macs`
(multiply-adds for one image) are what the weights add to the backbone."""


class Evaluation:
    """One run: go through `photos`, then `write` the rows, or only look at `rows`."""

    def __init__(self, options: EvaluateOptions, *, writes: bool = True) -> None:
        """Find the photos and their classes, and load the classifiers; with `writes`, see that the output can be.

        Raises:
            WrongUse: there are no photos, or their folders fit no class, or they have no degraded copies.
            BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
            OutputRefused: the output cannot be written, or is not ours.
        """
        beside = [options.output.with_suffix(ending) for ending in (".md", ".png")] if options.compare else []
        if writes:
            check_may_write(
                [*files_of(options.output), *beside],
                PROGRAM,
                overwrite=options.overwrite,
                inputs=(*options.weights, options.model.backbone_checkpoint),
            )
        self._beside = beside
        self._options = options
        for degradation in _degradations(options):
            codecs.require(degradation.last.codec)
        self._classifiers = _load_all(options)
        self._about = next(iter(self._classifiers.values())).about
        self.sources = Sources([str(options.dataset)], dataset=True)
        sources = list(self.sources)
        if not sources:
            raise WrongUse(f"There is no image in '{options.dataset}'.")
        labels = labels_of(sources, self._about.labels)
        if options.degraded is None:
            self.cases = [Case(source, label) for source, label in zip(sources, labels, strict=True)]
            self.levels = [Level.of(degradation, options.order) for degradation in _degradations(options)]
        else:
            self.levels, copies = read_copies(options.degraded, sources, self._about.preprocessing)
            self.cases = [Case(*case) for case in zip(sources, labels, copies, strict=True)]
        self.labelled = labels[0] is not None
        self._known: list[int] = []
        self._sizes: list[np.ndarray] = []
        self._tops: dict[str, list[np.ndarray]] = {name: [] for name in self._classifiers}
        self._seconds = dict.fromkeys(self._classifiers, 0.0)

    def photos(self) -> Iterator[Damaged]:
        """Read, damage and classify all photos; each is yielded, without its pixels, when it is counted."""
        outcomes: Iterator[Outcome]
        if self._options.cluster == "none":
            outcomes = classify_damaged(self.cases, self._classifiers, self._options, self.levels)
        else:
            load = partial(_load_all, self._options)
            run = partial(_classify_there, options=self._options, levels=self.levels)
            outcomes = ray_map_parts(load, run, self.cases, _batch_size(self._options, self.levels))
        for outcome in outcomes:
            for name, seconds in outcome.seconds.items():
                self._seconds[name] += seconds
                self._tops[name] += list(outcome.tops[name])
            readable = [one for one in outcome.batch if not one.error]
            self._sizes += [one.sizes for one in readable if one.sizes is not None]
            self._known += [-1 if one.case.label is None else one.case.label for one in readable]
            yield from outcome.batch

    def write(self) -> list[Row]:
        """Write the rows to the output, and return them.

        Raises:
            WrongUse: not one photo could be read.
        """
        rows = self.rows()
        settings = {
            **asdict(self._options),
            "backbone_sha256": self._about.backbone_sha256,
            "weights_sha256": {name: one.about.weights_sha256 for name, one in self._classifiers.items()},
        }
        del settings["overwrite"]
        output = self._options.output
        content = {**record(PROGRAM, settings, self._options), **self.sources.left_out()}
        overwrite = self._options.overwrite
        with ResultFile(output, COLUMNS, content, resume=None, overwrite=overwrite, also=self._beside) as file:
            file.write(rows)
            if self._beside:
                self._compare(rows, *self._beside)
        return rows

    def _compare(self, rows: Sequence[Row], table: Path, picture: Path) -> None:
        from afdcli.results import figures  # takes as long to import as a small evaluation

        images = len(self._known) * (1 + len(self.levels))
        milliseconds = {name: 1000 * seconds / images for name, seconds in self._seconds.items()}
        with atomic.file(table) as fresh:
            fresh.write_text(markdown(rows, milliseconds), encoding="utf-8")
        figures.accuracy_curves(rows, picture)

    def rows(self) -> list[Row]:
        """The values for `COLUMNS`: for each classifier the undamaged photos first, then every level."""
        if not self._known:
            raise WrongUse("Not one of the photos could be read. Look at the reasons with: afd classify")
        label = np.array(self._known)[:, None]  # (photos, 1)
        sizes = np.stack(self._sizes).sum(axis=0)  # (1 + levels, 2)
        clean = Level("clean", None, 0, self._options.order if self._options.degraded is None else self.levels[0].order)
        rows: list[Row] = []
        first = np.stack(next(iter(self._tops.values())))[:, :, 0] == label  # (photos, 1 + levels)
        for name, tops in self._tops.items():
            classes = np.stack(tops)  # (photos, 1 + levels, TOP)
            classifier = self._classifiers[name]
            cost = {"parameters": classifier.added_parameters(), "macs": classifier.added_macs()}
            for number, level in enumerate([clean, *self.levels]):
                seen = classes[:, number]
                row: dict[str, Any] = {
                    "backbone": self._about.backbone,
                    "weights": name,
                    **asdict(level),
                    "images": len(seen),
                    **dict.fromkeys(("top1", "top1_low", "top1_high", "top5", "difference", "p_value", "recovered")),
                    "agreement": _percent(np.mean(seen[:, 0] == classes[:, 0, 0])),
                    "bytes_per_pixel": round(float(sizes[number, 0] / sizes[number, 1]), 4),
                    **cost,
                }
                if self.labelled:
                    right = seen[:, :1] == label
                    interval = binomtest(int(right.sum()), len(seen)).proportion_ci(0.95, "wilson")
                    row["top1"] = _percent(np.mean(right))
                    row["top1_low"], row["top1_high"] = _percent(interval.low), _percent(interval.high)
                    row["top5"] = _percent(np.mean((seen == label).any(axis=1)))
                    if name != self._options.weights[0]:
                        row |= compare(right[:, 0], first[:, number], first[:, 0])
                rows.append(row)
        return rows


@dataclass(frozen=True)
class Outcome:
    """What became of a batch of photos."""

    batch: list[Damaged]
    """Without pixels."""
    tops: dict[str, np.ndarray]
    """Of each classifier the most probable classes (photos, 1 + levels, TOP), of those photos that could be read."""
    seconds: dict[str, float]
    """What each classifier took."""


def classify_damaged(
    cases: Iterable[Case], classifiers: Mapping[str, Engine], options: EvaluateOptions, levels: Sequence[Level]
) -> Iterator[Outcome]:
    """Read, damage and classify `cases`, in their order, a batch at a time."""
    about = next(iter(classifiers.values())).about
    batch_size = _batch_size(options, levels)
    damaged = ordered_map(
        partial(
            damage,
            options=options,
            degradations=_degradations(options),
            levels=tuple(levels),
            preprocessing=about.preprocessing,
        ),
        cases,
        workers=options.workers,
        ahead=2 * (batch_size + options.workers),
        room=(1 + len(levels)) * about.preprocessing.nbytes,
        crashed=partial(Damaged, error=CRASHED),
    )
    most = min(TOP, len(about.labels.names))
    for batch in in_parts(damaged, batch_size):
        outcome = Outcome([replace(one, pixels=None) for one in batch], {}, {})
        if readable := [one for one in batch if not one.error]:
            pixels = np.concatenate([one.pixels for one in readable if one.pixels is not None])
            qualities = np.concatenate([one.qualities for one in readable if one.qualities is not None])
            for name, classifier in classifiers.items():
                begin = time.perf_counter()
                index, *_ = classifier.predict_topk(pixels, most, qualities)
                outcome.seconds[name] = time.perf_counter() - begin
                outcome.tops[name] = index.reshape(len(readable), 1 + len(levels), -1)
        yield outcome


def _load_all(options: EvaluateOptions) -> dict[str, Engine]:
    return {name: load_engine(options.model, name) for name in options.weights}


def _classify_there(
    cases: list[Case],
    classifiers: Mapping[str, Engine],
    workers: int,
    options: EvaluateOptions,
    levels: Sequence[Level],
) -> Iterator[Outcome]:
    """What a machine of a cluster does with a part of the photos."""
    return classify_damaged(cases, classifiers, replace(options, workers=workers), levels)


def _degradations(options: EvaluateOptions) -> tuple[Degradation, ...]:
    return tuple(one for passes in options.passes for one in degradations(options.levels, passes, options.shift))


def _batch_size(options: EvaluateOptions, levels: Sequence[Level]) -> int:
    """Photos, of which each brings an image for every level."""
    return max(1, options.model.batch_size // (1 + len(levels)))


def markdown(rows: Sequence[Row], milliseconds: Mapping[str, float]) -> str:
    """The rows as a table for a paper: a line a level, a column for each of the weights, the means, and what they cost.

    Without labels it is of agreement. With them, top-1 has its interval, an asterisk where it differs from the first of
    the weights with p < 0.05, and below the means is the share of the loss recovered. `milliseconds` an image are those
    of backbone and module, for each of the weights.
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
        passes = f", {row['passes']} passes" if row["passes"] > 1 else ""
        title = "undamaged" if row["quality"] is None else f"{row['codec'].upper()} {row['quality']}{passes}"
        lines.append([title, *map(_cell, level)])
    means = {
        name: float(np.mean([row[figure] for row in by_name[name][1:]])) for name in names if len(by_name[name]) > 1
    }
    if means:
        lines.append(["mean of the damaged", *(f"{means[name]:.1f}" for name in names)])
    if means and labelled:
        before, cost = means[names[0]], rows[0]["top1"] - means[names[0]]
        shares = [f"{100 * (means[name] - before) / cost:.1f} %" if cost > 0 else "" for name in names[1:]]
        lines.append(["recovered", "", *shares])
    for title, column in (("parameters added", "parameters"), ("multiply-adds added", "macs")):
        lines.append([title, *(f"{by_name[name][0][column]:,}" for name in names)])
    lines.append(["milliseconds an image", *(f"{milliseconds[name]:.1f}" for name in names)])
    lines.insert(1, ["---"] * len(lines[0]))
    head = f"{in_markdown(rows[0]['backbone'])}, {rows[0]['images']:,} photos, {rows[0]['order']}.\n\n"
    return head + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(row: Row) -> str:
    if row["top1"] is None:
        return f"{row['agreement']:.1f}"
    differs = "\\*" if row["p_value"] is not None and row["p_value"] < 0.05 else ""
    return f"{row['top1']:.1f}{differs} ({row['top1_low']:.1f} - {row['top1_high']:.1f})"


def compare(right: np.ndarray, first: np.ndarray, undamaged: np.ndarray) -> dict[str, float | None]:
    """The columns `difference`, `p_value` and `recovered`, of who is right (photos,): these weights and the first ones
    at a level, and the first ones on undamaged photos."""
    won, lost = int((right & ~first).sum()), int((first & ~right).sum())
    cost = int(undamaged.sum()) - int(first.sum())
    return {
        "difference": _percent((won - lost) / len(right)),
        "p_value": float(f"{binomtest(won, won + lost).pvalue:.2g}") if won + lost else 1.0,
        "recovered": _percent((won - lost) / cost) if cost > 0 else None,
    }


def _percent(share: Any) -> float:
    return round(100 * float(share), 2)
