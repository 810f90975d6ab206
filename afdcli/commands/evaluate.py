"""`afd evaluate`: what compression costs a classifier, and what a remedy wins back, with intervals.

Each photo is read once. All levels of damage are made of those pixels, and all classifiers see the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from afdcli.engines.engine import NO_NUMBER, Engine, are_numbers
from afdcli.engines.loading import load_engine
from afdcli.errors import WrongUse
from afdcli.formats import codecs
from afdcli.formats.rows import Row
from afdcli.machines.cluster import ray_map_parts
from afdcli.machines.locks import Lock
from afdcli.machines.processes import CRASHED, in_parts, ordered_map
from afdcli.models.description import Description
from afdcli.options import Degradation, EvaluateOptions, degradations
from afdcli.options.fields import settings_of
from afdcli.photos.damage import Case, Damaged, Level, damage
from afdcli.photos.labels import labels_of
from afdcli.photos.remote import is_uri
from afdcli.photos.sources import Sources, find_named, printable
from afdcli.results.accuracy_page import Pictures
from afdcli.results.copies import read_copies
from afdcli.results.journal import foreign
from afdcli.results.measured import read_outcomes, together, write_measured
from afdcli.results.naming import beside, rates_beside
from afdcli.results.outcomes import TOP, Outcomes, Run, Said
from afdcli.results.record import check_may_write, digest, read_record, record
from afdcli.results.resuming import Done, PhotoRows
from afdcli.results.rowfile import ResultFile, copy_rows, files_of

PROGRAM = "afd evaluate"


class Evaluation:
    """One run: go through `photos`, then `write` the rows, or only look at `rows`."""

    def __init__(self, options: EvaluateOptions, *, writes: bool = True) -> None:
        """Find the photos and their classes, and load the classifiers; with `writes`, see that the output can be.

        Raises:
            WrongUse: there are no photos, or their folders fit no class, or they have no degraded copies.
            BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
            OutputRefused: the output cannot be written, or is not ours, or is being written by another afd.
        """
        self._options = options
        self.outcomes_path = options.output.with_suffix(".outcomes.csv")
        """Where each photo's outcome is written as it comes."""
        if writes:
            self._lock = Lock(options.output)
            _check_outputs(options, self.outcomes_path)
        for degradation in _degradations(options):
            codecs.require(degradation.last.codec)
        self._classifiers = load_all(options)
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
        clean = Level("clean", None, 0, options.order if options.degraded is None else self.levels[0].order)
        costs = {name: (one.added_parameters(), one.added_macs()) for name, one in self._classifiers.items()}
        self._run = Run(self._about.backbone, (clean, *self.levels), costs, options.read.truncated == "read")
        self.outcomes = Outcomes(self._run, len(self.cases))
        """What is known of the photos so far."""
        self._seconds, self._images = dict.fromkeys(self._classifiers, 0.0), 0
        self._kept = self._open_outcomes() if writes else None

    def _open_outcomes(self) -> PhotoRows:
        options, content = self._options, self._record()
        file = ResultFile(
            self.outcomes_path, self._run.columns, content, resume=options.resume, overwrite=options.overwrite
        )
        sources, size = [case.source for case in self.cases], _batch_size(options, self.levels)
        return PhotoRows(file, sources, size=size, each=self._run.each)

    def _record(self) -> dict[str, Any]:
        """The record of all that is written. Its settings are what decides each photo's outcome."""
        copies = "\n".join(f"{copy.path} {copy.sha256}" for case in self.cases for copy in case.copies)
        settings = {
            **settings_of(self._options),
            "engine": {name: one.engine for name, one in self._classifiers.items()},
            "precision": self._options.model.precision,
            "backbone": self._about.backbone,
            "backbone_sha256": self._about.backbone_sha256,
            "weights_sha256": {name: one.about.weights_sha256 for name, one in self._classifiers.items()},
            "copies_sha256": sha256(copies.encode("utf-8", "surrogateescape")).hexdigest(),
        }
        for name in ("dataset", "model"):  # The photos are compared one by one, and the classifier as it is.
            del settings[name]
        settings |= self._about.labels_given(self._options.model)
        taken = self._about.weights_taken
        return {**record(PROGRAM, settings, self._options), **taken, **self.sources.left_out()}

    @property
    def already(self) -> int:
        """Photos that an earlier run had done, and that stay as they are."""
        return 0 if self._kept is None else self._kept.already

    @property
    def about(self) -> Description:
        """What the first of the classifiers is."""
        return self._about

    def photos(self) -> Iterator[Damaged]:
        """Read, damage and classify all photos; each is yielded, without its pixels, when it is counted, and safe.

        Those of an earlier run that stay are among them.

        Raises:
            OutputRefused: the outcomes cannot be written.
        """
        rows: Iterator[Row]
        if self._kept is None:
            rows = (row for batch in self._done(self._reading()) for _, own in batch for row in own)
        else:
            rows = self._kept.rows(self._done(self._kept.left(self._reading())))
        for own, case in zip(in_parts(rows, self._run.each), self.cases, strict=False):  # rows first: to their very end
            try:
                self.outcomes.add(own)
            except ValueError:
                raise foreign(self.outcomes_path) from None
            yield Damaged(case, own[0]["error"] or "")

    def _reading(self) -> Iterator[Case]:
        """The cases, those in compressed archives with their bytes."""
        now = self.sources.reading()
        for case in self.cases:
            source = next(now, case.source)
            yield replace(case, source=source.bare() if source.path != case.source.path else source)

    def _done(self, cases: Iterable[Case]) -> Iterator[list[Done]]:
        """The photos of `cases`, a batch at a time, with their rows."""
        batches = classify_all(cases, self._classifiers, self._options, self.levels)
        names = self._about.labels.names
        for outcome in batches:
            for name, seconds in outcome.seconds.items():
                self._seconds[name] += seconds
            places = count()
            yield [
                (one.stamp, self._run.rows(one, 0 if one.error else next(places), outcome.said, names))
                for one in outcome.batch
            ]
            self._images += next(places) * len(self._run.levels)

    def rows(self) -> list[Row]:
        """The values for `accuracy.COLUMNS`: for each classifier the undamaged photos first, then every level.

        Raises:
            WrongUse: not one photo could be read, or has a copy that is as it was made.
        """
        outcomes = self.outcomes
        if not outcomes.paths and self._options.degraded is not None:
            reason = next(iter(outcomes.failed.values()), "")
            raise WrongUse(f"Not one photo can be measured with the copies in '{self._options.degraded}': {reason}.")
        if not outcomes.paths:
            raise self.sources.unreadable()
        return outcomes.rows()

    def write(self, found: list[Row] | None = None) -> list[Row]:
        """Write the rows to the output, and return them: `found`, where `rows` was asked for them already.

        Raises:
            WrongUse: not one photo could be read.
            OutputRefused: there is no room. Each photo's outcome is kept.
        """
        found = self.rows() if found is None else found
        if self._images:
            self.outcomes.milliseconds = {name: 1000 * took / self._images for name, took in self._seconds.items()}
        options, content = self._options, {**self._record(), "milliseconds": self.outcomes.milliseconds}
        again = options.overwrite or options.resume
        if options.per_photo is not None:
            copy_rows(self.outcomes_path, options.per_photo, self._run.columns, content, overwrite=again)
        with self._lock:
            pictures = Pictures(partial(_paths, self.cases), options.read, options.workers) if options.compare else None
            write_measured(options.output, found, [self.outcomes], content, compare=pictures, overwrite=again)
        return found


def _paths(cases: Sequence[Case], names: Collection[str]) -> dict[str, str]:
    """Where those of the photos are that are called `names`."""
    named = ((printable(case.source.name), case.source.path) for case in cases)
    return {name: path for name, path in named if name in names}


def from_outcomes(options: EvaluateOptions, *, writes: bool = True) -> list[Row]:
    """The rows of what earlier runs measured, of the files in `options.outcomes`; written to the output if `writes`.

    Raises:
        WrongUse: a file is none of `--per-photo`, or was changed since, or they do not go together.
        OutputRefused: the output cannot be written, or is not ours.
    """
    if writes:
        made = [*files_of(options.output), *_beside(options)]
        check_may_write(made, PROGRAM, overwrite=options.overwrite, inputs=options.outcomes)
    measured = together([read_outcomes(path) for path in options.outcomes])
    found = [row for one in measured for row in one.rows()]
    if writes:
        content = record(PROGRAM, {"outcomes": [digest(path) for path in options.outcomes]}, options)
        find = partial(_still_there, options.outcomes)
        read = replace(options.read, truncated="read")  # as some may have been
        pictures = Pictures(find, read, options.workers) if options.compare else None
        write_measured(options.output, found, measured, content, compare=pictures, overwrite=options.overwrite)
    return found


def _still_there(files: Sequence[Path], names: Collection[str]) -> dict[str, str]:
    """Where the photos called `names` are that were measured for `files`: those that are on this machine."""
    datasets = {(read_record(file) or {}).get("options", {}).get("dataset") for file in files}
    found: dict[str, str] = {}
    for dataset in sorted(one for one in datasets if isinstance(one, str) and not is_uri(one)):
        with suppress(WrongUse):  # It is not there any more, or has no photos any more.
            found = find_named([dataset], names, dataset=True) | found
    return found


def _beside(options: EvaluateOptions) -> list[Path]:
    """What a comparison leaves beside the output, if one is asked for."""
    return [*beside(options.output), *files_of(rates_beside(options.output))] if options.compare else []


def _check_outputs(options: EvaluateOptions, outcomes: Path) -> None:
    """Check that all that a run writes may be written; what is made of the outcomes can be made again.

    Raises:
        OutputRefused: see `check_may_write`.
    """
    inputs = (*options.weights, *options.model.files)
    again = options.overwrite or options.resume
    made = [*files_of(options.output), *_beside(options)]
    if options.per_photo is not None:
        made += files_of(options.per_photo)
    check_may_write(made, PROGRAM, overwrite=again, inputs=inputs)
    check_may_write(files_of(outcomes), PROGRAM, overwrite=options.overwrite, resume=options.resume, inputs=inputs)


@dataclass(frozen=True)
class Outcome:
    """What became of a batch of photos."""

    batch: list[Damaged]
    """Without pixels."""
    said: dict[str, Said]
    """By each classifier, of the photos that could be read."""
    seconds: dict[str, float]
    """What each classifier took."""


def classify_all(
    cases: Iterable[Case], classifiers: Mapping[str, Engine], options: EvaluateOptions, levels: Sequence[Level]
) -> Iterator[Outcome]:
    """`classify_damaged`, here or on the machines of a cluster."""
    if options.cluster == "none":
        return classify_damaged(cases, classifiers, options, levels)
    load, run = partial(load_all, options), partial(_classify_there, options=options, levels=levels)
    return ray_map_parts(load, run, cases, _batch_size(options, levels))


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
        outcome = Outcome([replace(one, pixels=None) for one in batch], {}, {})
        if readable := [one for one in batch if not one.error]:
            pixels = np.concatenate([one.pixels for one in readable if one.pixels is not None])
            qualities = np.concatenate([one.qualities for one in readable if one.qualities is not None])
            known = np.array([-1 if one.case.label is None else one.case.label for one in readable])
            count = most if (known < 0).all() else classes
            shape = len(readable), 1 + len(levels), -1
            for name, classifier in classifiers.items():
                begin = time.perf_counter()
                index, probability, drift = classifier.predict_topk(pixels, count, qualities)
                outcome.seconds[name] = time.perf_counter() - begin
                index, probability = index.reshape(shape), probability.reshape(shape)
                right = np.where(index == known[:, None, None], probability, 0).sum(2)
                turned = None if drift is None else np.reshape(drift, shape[:2])
                outcome.said[name] = Said(index[:, :, :most], probability[:, :, :most], right, turned)
        yield _with_numbers(outcome)


def _with_numbers(outcome: Outcome) -> Outcome:
    """`outcome`, where a photo that any classifier gives no number for, at any level, could not be read."""
    if not outcome.said:
        return outcome
    answers = [answer for one in outcome.said.values() for answer in (one.probabilities, one.right, one.drift)]
    sound = are_numbers(*answers)
    if sound.all():
        return outcome
    each = iter(sound)
    batch = [one if one.error or next(each) else replace(one, error=NO_NUMBER) for one in outcome.batch]
    said = {
        name: Said(
            one.classes[sound],
            one.probabilities[sound],
            one.right[sound],
            None if one.drift is None else one.drift[sound],
        )
        for name, one in outcome.said.items()
    }
    return Outcome(batch, said, outcome.seconds)


def load_all(options: EvaluateOptions) -> dict[str, Engine]:
    """The classifiers that are compared, by what `--weights` calls them."""
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
