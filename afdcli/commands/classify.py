"""`afd classify`: sources in, one prediction for each of them out, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from afdcli.engines.engine import NO_NUMBER, Engine, are_numbers
from afdcli.engines.loading import load_engine
from afdcli.formats.rows import Columns, Row
from afdcli.machines.cluster import ray_map_parts
from afdcli.machines.locks import Lock
from afdcli.machines.processes import CRASHED, in_parts, ordered_map, threaded_map
from afdcli.models.description import Description
from afdcli.options import ClassifyOptions
from afdcli.options.groups import STANDARD_OUTPUT
from afdcli.photos.samples import Sample, load_sample
from afdcli.photos.sources import Source, Sources
from afdcli.results.predictions import Prediction, columns
from afdcli.results.record import check_may_write, record
from afdcli.results.resuming import Anew, PhotoRows
from afdcli.results.rowfile import ResultFile, files_of

PROGRAM = "afd classify"


class Classification:
    """One run: go through `rows`, and they are in the output."""

    def __init__(self, options: ClassifyOptions) -> None:
        """Find the photos, load the classifier, and begin the output, or see what an interrupted run left of it.

        Raises:
            WrongUse: there are no photos.
            BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
            OutputRefused: see `Lock`, `check_may_write` and `ResultFile`; or the photos are not those of the
                interrupted run.
        """
        self._lock = None if options.output == STANDARD_OUTPUT else Lock(options.output)
        inputs = (*options.inputs, options.weights, *options.model.files)
        if self._lock is not None:
            check_may_write(
                files_of(options.output), PROGRAM, overwrite=options.overwrite, resume=options.resume, inputs=inputs
            )
        self.sources = Sources(options.inputs, every_file=options.every_file)
        """What is classified."""
        self.total = sum(1 for _ in self.sources)
        """Photos in all."""
        self.classifier = load_engine(options.model, options.weights)
        about = self.classifier.about
        options, self.columns = _fitting(options, about)
        self._options = options
        self._photos = None if self._lock is None else self._open()
        self.already = 0 if self._photos is None else self._photos.already
        """Photos that an earlier run had done, and that stay as they are."""

    def _open(self) -> PhotoRows:
        options, about = self._options, self.classifier.about
        settings = {
            "backbone": about.backbone,
            "backbone_sha256": about.backbone_sha256,
            "weights": about.weights_sha256,
            "engine": self.classifier.engine,
            "precision": options.model.precision,
            "topk": options.topk,
            "fast_decode": options.fast_decode,
            **options.read.deciding(),
        }
        settings |= about.labels_given(options.model)
        file = ResultFile(
            options.output,
            self.columns,
            {**record(PROGRAM, settings, options), **about.weights_taken, **self.sources.left_out()},
            resume=options.resume,
            overwrite=options.overwrite,
        )
        return PhotoRows(file, self.sources, size=options.model.batch_size)

    @property
    def anew(self) -> Anew | None:
        """What of an earlier run is done again; None where none can be gone on with."""
        return None if self._photos is None else self._photos.anew

    def rows(self) -> Iterator[Row]:
        """A row for every photo, in order, each once it is safe; those of an earlier run that stay among them.

        Nothing is written where the output is standard output: that is for who has the rows.

        Raises:
            OutputRefused: the output cannot be written.
        """
        if self._photos is None or self._lock is None:
            batches = _classify_anywhere(self.sources.reading(), self.classifier, self._options)
            yield from (one.row(self.columns) for batch in batches for one in batch)
            return
        batches = _classify_anywhere(self._photos.left(self.sources.reading()), self.classifier, self._options)
        done = ([(one.sample.stamp, [one.row(self.columns)]) for one in batch] for batch in batches)
        with self._lock:
            yield from self._photos.rows(done)


def rows_of(options: ClassifyOptions) -> Iterator[Row]:
    """A row for every photo, in order, as `Classification` has them; nothing is written, whatever the output.

    Photos and classifier are found at once, and read and asked as the rows are gone through.

    Raises:
        WrongUse: there are no photos.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
    """
    sources = Sources(options.inputs, every_file=options.every_file)
    classifier = load_engine(options.model, options.weights)
    options, names = _fitting(options, classifier.about)
    batches = _classify_anywhere(sources.reading(), classifier, options)
    return (prediction.row(names) for batch in batches for prediction in batch)


def _fitting(options: ClassifyOptions, about: Description) -> tuple[ClassifyOptions, Columns]:
    """`options` with no more classes than there are, and the columns that the rows then have."""
    options = replace(options, topk=min(options.topk, len(about.labels.names)))
    return options, columns(
        options.topk,
        uses_quality=about.uses_quality,
        estimates_drift=about.estimates_drift,
        reads_truncated=options.read.truncated == "read",
    )


def _classify_anywhere(
    sources: Iterator[Source], classifier: Engine, options: ClassifyOptions
) -> Iterator[list[Prediction]]:
    """Predictions for `sources`, a batch at a time, made here or by the machines of a cluster."""
    if options.cluster == "none":
        return classify(sources, classifier, options)
    load = partial(load_engine, options.model, options.weights)
    return ray_map_parts(load, partial(_classify_there, options=options), sources, options.model.batch_size)


def _classify_there(
    sources: list[Source], classifier: Engine, workers: int, options: ClassifyOptions
) -> Iterator[list[Prediction]]:
    """What a machine of a cluster does with a part of the photos."""
    return classify(sources, classifier, replace(options, workers=workers))


def classify(sources: Iterable[Source], classifier: Engine, options: ClassifyOptions) -> Iterator[list[Prediction]]:
    """Predictions for `sources`, in their order, a batch at a time; the last batch may be short.

    A source that cannot be read takes its place in its batch, so that a run which begins at the N-th batch gives just
    what the whole run gives from there on.
    """
    samples = ordered_map(
        partial(
            load_sample,
            read=options.read,
            preprocessing=classifier.about.preprocessing,
            fast=options.fast_decode,
        ),
        sources,
        workers=options.workers,
        ahead=2 * options.model.batch_size,  # While the network works on one batch, the next gets ready.
        room=classifier.about.preprocessing.nbytes,
        crashed=partial(Sample, error=CRASHED),
    )
    batches = in_parts(samples, options.model.batch_size)
    return threaded_map(partial(_predict, classifier=classifier, topk=options.topk), batches, classifier.threads)


def _predict(batch: list[Sample], classifier: Engine, topk: int) -> list[Prediction]:
    """One prediction for each sample, in their order; those without pixels take no part."""
    predictions = [Prediction(replace(sample, pixels=None)) for sample in batch]
    readable = {number: sample.pixels for number, sample in enumerate(batch) if sample.pixels is not None}
    qualities = np.array([batch[number].quality for number in readable], dtype=np.float32)  # None becomes NaN
    if not readable:
        return predictions
    names = classifier.about.labels.names
    indices, probabilities, drifts = classifier.predict_topk(np.stack(list(readable.values())), topk, qualities)
    sound = are_numbers(probabilities, drifts)
    for place, number in enumerate(readable):
        if not sound[place]:
            predictions[number] = Prediction(replace(batch[number], pixels=None, error=NO_NUMBER))
            continue
        classes = tuple(
            (names[index], int(index), round(float(probability), 4))
            for index, probability in zip(indices[place], probabilities[place], strict=True)
        )
        drift = None if drifts is None else round(float(drifts[place]), 4)
        predictions[number] = replace(predictions[number], classes=classes, drift=drift)
    return predictions
