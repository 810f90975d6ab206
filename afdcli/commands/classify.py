"""`afd classify`: sources in, one prediction for each of them out, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from afdcli.engines.loading import Engine, load_engine
from afdcli.errors import OutputRefused, WrongUse
from afdcli.machines.cluster import ray_map_parts
from afdcli.machines.processes import CRASHED, in_parts, ordered_map, threaded_map
from afdcli.models.description import Description
from afdcli.options import ClassifyOptions, default_workers
from afdcli.photos.samples import Sample, load_sample
from afdcli.photos.sources import Source, expand_inputs, find_images, printable
from afdcli.results.rowfile import ResultFile, Row, record


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one source."""

    sample: Sample
    """What was read, without the pixels."""
    classes: tuple[tuple[str, int, float], ...] = ()
    """(label, index, probability), most probable first; empty where the source could not be read."""
    drift: float | None = None
    """The mean of the drift map, see `Description`, where there is a de-drifting module."""

    def row(self, columns: Iterable[str]) -> dict[str, Any]:
        """The values for `columns`, None where there is none."""
        sample = self.sample
        values: dict[str, Any] = {
            "path": printable(sample.source.name),
            "status": "error" if sample.error else "ok",
            "error": printable(sample.error) or None,
            "format": sample.format,
            "width": sample.width,
            "height": sample.height,
            "quality": sample.quality,
            "quality_exact": sample.quality_exact,
            "quality_source": None if sample.error else "estimated" if sample.quality is None else "tables",
            "drift": self.drift,
        }
        for rank, (label, index, probability) in enumerate(self.classes, start=1):
            values |= {f"label_{rank}": label, f"index_{rank}": index, f"prob_{rank}": probability}
        return {name: values.get(name) for name in columns}


def columns(topk: int, about: Description) -> dict[str, type]:
    """The columns of the result, in order, with their types; what only some classifiers give among them."""
    facts: dict[str, type] = {"path": str, "status": str, "error": str, "format": str, "width": int, "height": int}
    ranks = {
        f"{name}_{rank}": kind
        for rank in range(1, topk + 1)
        for name, kind in (("label", str), ("index", int), ("prob", float))
    }
    facts |= {"quality": int, "quality_exact": bool}
    if about.uses_quality:
        facts["quality_source"] = str
    if about.estimates_drift:
        facts["drift"] = float
    return facts | ranks


class Classification:
    """One run: go through `rows`, and they are in the output."""

    def __init__(self, options: ClassifyOptions) -> None:
        """Find the photos, load the classifier, and begin the output, or see what an interrupted run left of it.

        Raises:
            WrongUse: there are no photos.
            BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
            OutputRefused: see `ResultFile`.
        """
        self._paths = expand_inputs(options.inputs)
        self.total = sum(1 for _ in find_images(self._paths))
        """Photos in all."""
        if self.total == 0:
            names = ", ".join("the list on standard input" if text == "-" else f"'{text}'" for text in options.inputs)
            raise WrongUse(f"There is no image in {names}.")
        self.classifier = load_engine(options.model, options.weights)
        about = self.classifier.about
        self._options = options = replace(options, topk=min(options.topk, len(about.labels.names)))
        settings = {
            "backbone": about.backbone,
            "backbone_sha256": about.backbone_sha256,
            "weights": about.weights_sha256,
            "engine": self.classifier.engine,
            "precision": options.model.precision,
            "topk": options.topk,
            "fast_decode": options.fast_decode,
            **asdict(options.read),
        }
        self._columns = columns(options.topk, about)
        self._file = ResultFile(options.output, self._columns, record("afd classify", settings), resume=options.resume)
        if self._file.rows < self.total:  # Whole batches only: what went through the network together does so again.
            self._file.keep(self._file.rows - self._file.rows % options.model.batch_size)
        self.already = self._file.rows
        """Photos that an interrupted run had done."""

    def rows(self) -> Iterator[Row]:
        """A row for every photo, in order, each once it is in the output; those of an interrupted run first.

        Raises:
            OutputRefused: the photos are not those of the interrupted run.
        """
        sources = find_images(self._paths)
        with self._file as file:
            for row in file.kept():
                source = next(sources, None)
                if source is None or printable(source.name) != row["path"]:
                    raise OutputRefused(
                        f"'{file.path}' was begun with other photos: it has '{row['path']}' where there is now "
                        f"'{source.name if source else 'nothing'}'. Use another --output."
                    )
                yield row
            for batch in self._classify(sources):
                rows = [prediction.row(self._columns) for prediction in batch]
                file.write(rows)
                yield from rows

    def _classify(self, sources: Iterator[Source]) -> Iterator[list[Prediction]]:
        if self._options.cluster == "none":
            return classify(sources, self.classifier, self._options)
        make = partial(ClassifierOnAMachine, self._options)
        return ray_map_parts(make, sources, self._options.model.batch_size)  # whole batches: the same as here


class ClassifierOnAMachine:
    """What a worker of a cluster does with a part of the photos: what is done here, with all processors there."""

    def __init__(self, options: ClassifyOptions) -> None:
        """Load the classifier."""
        self._options = replace(options, workers=default_workers())
        self._classifier = load_engine(options.model, options.weights)

    def __call__(self, sources: list[Source]) -> list[list[Prediction]]:
        """As `classify`."""
        return list(classify(sources, self._classifier, self._options))


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
    return threaded_map(partial(_predict, classifier=classifier, topk=options.topk), batches, classifier.lanes)


def _predict(batch: list[Sample], classifier: Engine, topk: int) -> list[Prediction]:
    """One prediction for each sample, in their order; those without pixels take no part."""
    predictions = [Prediction(replace(sample, pixels=None)) for sample in batch]
    readable = {number: sample.pixels for number, sample in enumerate(batch) if sample.pixels is not None}
    qualities = np.array([batch[number].quality for number in readable], dtype=np.float32)  # None becomes NaN
    if not readable:
        return predictions
    names = classifier.about.labels.names
    indices, probabilities, drifts = classifier.top(np.stack(list(readable.values())), topk, qualities)
    for place, number in enumerate(readable):
        classes = tuple(
            (names[index], int(index), round(float(probability), 4))
            for index, probability in zip(indices[place], probabilities[place], strict=True)
        )
        drift = None if drifts is None else round(float(drifts[place]), 4)
        predictions[number] = replace(predictions[number], classes=classes, drift=drift)
    return predictions
