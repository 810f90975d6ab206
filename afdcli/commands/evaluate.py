"""`afd evaluate`: what compression costs a classifier, and what a remedy wins back, with intervals.

Each photo is read once. All levels of damage are made of those pixels, and all classifiers see the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from afdcli import atomic
from afdcli.engines.engine import Engine
from afdcli.engines.loading import load_engine
from afdcli.errors import WrongUse
from afdcli.formats import codecs
from afdcli.formats.rows import Row
from afdcli.machines.cluster import ray_map_parts
from afdcli.machines.processes import CRASHED, in_parts, ordered_map
from afdcli.options import Degradation, EvaluateOptions, degradations
from afdcli.photos.damage import Case, Damaged, Level, damage
from afdcli.photos.labels import labels_of
from afdcli.photos.sources import Sources
from afdcli.results.accuracy import COLUMNS, Measured, markdown, recovered_overall, rows
from afdcli.results.copies import read_copies
from afdcli.results.record import check_may_write, record
from afdcli.results.rowfile import ResultFile, files_of

PROGRAM = "afd evaluate"
TOP = 5


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
        sources = [source.bare() for source in self.sources]
        labels = labels_of(sources, self._about.labels)
        if options.degraded is None:
            self.cases = [Case(source, label) for source, label in zip(sources, labels, strict=True)]
            self.levels = [Level.of(degradation, options.order) for degradation in _degradations(options)]
        else:
            self.levels, copies = read_copies(options.degraded, sources, self._about.preprocessing)
            self.cases = [Case(*case) for case in zip(sources, labels, copies, strict=True)]
        self.labelled = labels[0] is not None
        self._known: list[int] = []
        self._reason = ""
        self._sizes: list[np.ndarray] = []
        self._tops: dict[str, list[np.ndarray]] = {name: [] for name in self._classifiers}
        self._probabilities: dict[str, list[np.ndarray]] = {name: [] for name in self._classifiers}
        self._seconds = dict.fromkeys(self._classifiers, 0.0)

    def photos(self) -> Iterator[Damaged]:
        """Read, damage and classify all photos; each is yielded, without its pixels, when it is counted."""
        outcomes: Iterator[Outcome]
        if self._options.cluster == "none":
            outcomes = classify_damaged(self._reading(), self._classifiers, self._options, self.levels)
        else:
            load = partial(_load_all, self._options)
            run = partial(_classify_there, options=self._options, levels=self.levels)
            outcomes = ray_map_parts(load, run, self._reading(), _batch_size(self._options, self.levels))
        for outcome in outcomes:
            for name, seconds in outcome.seconds.items():
                self._seconds[name] += seconds
                self._tops[name] += list(outcome.tops[name])
                self._probabilities[name] += list(outcome.probabilities[name])
            readable = [one for one in outcome.batch if not one.error]
            self._reason = self._reason or next((one.error for one in outcome.batch if one.error), "")
            self._sizes += [one.sizes for one in readable if one.sizes is not None]
            self._known += [-1 if one.case.label is None else one.case.label for one in readable]
            yield from outcome.batch

    def _reading(self) -> Iterator[Case]:
        """The cases, those in compressed archives with their bytes."""
        now = self.sources.reading()
        for case in self.cases:
            source = next(now, case.source)
            yield replace(case, source=source.bare() if source.path != case.source.path else source)

    def write(self) -> list[Row]:
        """Write the rows to the output, and return them.

        Raises:
            WrongUse: not one photo could be read.
        """
        found = self.rows()
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
            file.write(found)
            if self._beside:
                self._compare(found, *self._beside)
        return found

    def _compare(self, found: Sequence[Row], table: Path, picture: Path) -> None:
        from afdcli.results import figures  # takes as long to import as a small evaluation

        images = len(self._known) * (1 + len(self.levels))
        milliseconds = {name: 1000 * seconds / images for name, seconds in self._seconds.items()}
        overall = recovered_overall(self._measured(), self._labels())
        with atomic.file(table) as fresh:
            fresh.write_text(markdown(found, milliseconds, overall), encoding="utf-8")
        figures.accuracy_curves(found, picture)

    def rows(self) -> list[Row]:
        """The values for `COLUMNS`: for each classifier the undamaged photos first, then every level.

        Raises:
            WrongUse: not one photo could be read, or has a copy that is as it was made.
        """
        if not self._known and self._options.degraded is not None:
            raise WrongUse(
                f"Not one photo can be measured with the copies in '{self._options.degraded}': {self._reason}."
            )
        if not self._known:
            raise self.sources.unreadable()
        clean = Level("clean", None, 0, self._options.order if self._options.degraded is None else self.levels[0].order)
        sizes = np.stack(self._sizes).sum(axis=0)
        return rows(self._about.backbone, [clean, *self.levels], sizes, self._labels(), self._measured())

    def _labels(self) -> np.ndarray | None:
        return np.array(self._known) if self.labelled else None

    def _measured(self) -> list[Measured]:
        return [
            Measured(
                name,
                np.stack(self._tops[name]),
                np.stack(self._probabilities[name]),
                classifier.added_parameters(),
                classifier.added_macs(),
            )
            for name, classifier in self._classifiers.items()
        ]


@dataclass(frozen=True)
class Outcome:
    """What became of a batch of photos."""

    batch: list[Damaged]
    """Without pixels."""
    tops: dict[str, np.ndarray]
    """The most probable classes (photos, 1 + levels, TOP) by each classifier, of the photos that could be read."""
    probabilities: dict[str, np.ndarray]
    """What it gives (photos, 1 + levels, 2) the most probable class, and the right one; 0 where that is not known."""
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
    # The likelihood of the right class needs all probabilities; they are there anyhow, and only have to be sorted.
    classes = len(about.labels.names)
    most = min(TOP, classes)
    for batch in in_parts(damaged, batch_size):
        outcome = Outcome([replace(one, pixels=None) for one in batch], {}, {}, {})
        if readable := [one for one in batch if not one.error]:
            pixels = np.concatenate([one.pixels for one in readable if one.pixels is not None])
            qualities = np.concatenate([one.qualities for one in readable if one.qualities is not None])
            known = np.array([-1 if one.case.label is None else one.case.label for one in readable])
            count = most if (known < 0).all() else classes
            shape = len(readable), 1 + len(levels), -1
            for name, classifier in classifiers.items():
                begin = time.perf_counter()
                index, probability, _ = classifier.predict_topk(pixels, count, qualities)
                outcome.seconds[name] = time.perf_counter() - begin
                index, probability = index.reshape(shape), probability.reshape(shape)
                right = np.where(index == known[:, None, None], probability, 0).sum(2)
                outcome.tops[name] = index[:, :, :most].copy()
                outcome.probabilities[name] = np.stack([probability[:, :, 0], right], 2)
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
