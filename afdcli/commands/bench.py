"""`afd bench`: photos a second on this machine, for each part of classifying them, and for all of it together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle

import numpy as np

from afdcli.commands.classify import classify
from afdcli.engines.loading import compiling_engines, load_engine
from afdcli.machines.hardware import default_workers
from afdcli.machines.processes import ordered_map, threaded_map
from afdcli.models.classifier import load_classifier
from afdcli.options import BenchOptions, ClassifyOptions
from afdcli.photos.samples import decode_only, load_sample, read_some
from afdcli.photos.sources import Source, Sources

READING, FAST_READING, NETWORK = "decode, preprocess", "fast decode, preprocess", "inference"
"""Parts of which the slowest decides how fast everything together can be."""
WARM_UP = 1.0
"""Seconds that are not counted: processes start, caches fill."""
FASTER = 1.1
"""How many times as fast something has to be for `limit` to advise it."""


@dataclass(frozen=True)
class Rate:
    """How fast one part of classifying photos is on this machine."""

    part: str
    """What was measured: `decode`, `READING` (`FAST_READING` with `--fast-decode`), `NETWORK` or `end to end`."""
    engine: str
    """The engine that takes part in it; empty where none does."""
    weights: str
    """The de-drifting module; empty where none takes part."""
    photos_per_second: float
    """How many photos it does in a second."""


def bench(options: BenchOptions) -> Iterator[Rate]:
    """Measure each part by itself, then all of them together, as `afd classify` does them; by every engine there is.

    Raises:
        WrongUse: there are no photos, or none can be read.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_engine`.
    """
    found = Sources(options.photos)
    engines = {
        (name, weights): load_engine(replace(options.model, engine=name), weights)
        for name in _engine_names(options)
        for weights in dict.fromkeys(("none", options.weights))
    }
    preprocessing = next(iter(engines.values())).about.preprocessing
    samples = read_some(found, options.model.batch_size, options.read, preprocessing)
    batch = np.stack([sample.pixels for sample in samples if sample.pixels is not None])
    read: dict[str, Callable[[Source], object]] = {
        "decode": partial(decode_only, read=options.read),
        READING: partial(load_sample, read=options.read, preprocessing=preprocessing),
        FAST_READING: partial(load_sample, read=options.read, preprocessing=preprocessing, fast=True),
    }
    for part, function in read.items():
        done = ordered_map(
            function,
            _for_ever(found),
            workers=options.workers,
            ahead=2 * options.model.batch_size,
            room=preprocessing.nbytes,
            crashed=lambda _: None,
        )
        yield Rate(part, "", "", _rate((1 for _ in done), options.seconds))
    for (name, weights), engine in engines.items():
        tops = threaded_map(partial(engine.predict_topk, k=5), cycle([batch]), engine.threads)
        counts = (len(index) for index, *_ in tops)
        yield Rate(NETWORK, name, weights, _rate(counts, options.seconds))
    settings = ClassifyOptions(options.photos, model=options.model, read=options.read, workers=options.workers)
    for (name, weights), engine in engines.items():
        counts = (len(predictions) for predictions in classify(_for_ever(found), engine, settings))
        yield Rate("end to end", name, weights, _rate(counts, options.seconds))


def limit(rates: Sequence[Rate], options: BenchOptions) -> str:
    """What of `rates`, those that `bench` measured, limits this machine, and which flag would move it: a sentence."""
    speeds = {rate.part: rate.photos_per_second for rate in rates}
    asked = [rate for rate in rates if (rate.part, rate.weights) == (NETWORK, options.weights)]
    network = max(asked, key=lambda rate: rate.photos_per_second)
    read, classified = f"{speeds[READING]:.0f}", f"{network.photos_per_second:.0f}"
    advice = "--cluster ray would share the work with more machines"
    if speeds[READING] < network.photos_per_second:
        what = (
            f"Reading limits this machine: {read} photos a second, where {network.engine} would classify {classified}"
        )
        if options.workers < default_workers():
            advice = f"--workers {default_workers()} would use all processors"
        if speeds[FAST_READING] > FASTER * speeds[READING]:
            advice = f"--fast-decode reads {speeds[FAST_READING]:.0f}, and now and then gives another class"
    else:
        what = (
            f"The network limits this machine: {network.engine} classifies {classified} photos a second, of {read} read"
        )
        if options.model.precision == "float32":
            advice = "--precision bfloat16 is faster on processors and GPUs that are made for it"
    return f"{what}; {advice}."


def _engine_names(options: BenchOptions) -> list[str]:
    """The one asked for; or all that run here, torch first."""
    if options.model.engine != "auto":
        return [options.model.engine]
    return ["torch", *compiling_engines(load_classifier(options.model, options.weights))]


def _for_ever(sources: Sources) -> Iterator[Source]:
    while True:
        yield from sources.reading()


def _rate(counts: Iterator[int], seconds: float) -> float:
    """Photos a second; each of the endless `counts` says how many have just been done."""
    begin = start = time.perf_counter()
    total = 0
    for count in counts:
        now = time.perf_counter()
        if start - begin < WARM_UP:
            start = now
            continue
        total += count
        if now - start >= seconds:
            break
    return total / (now - start)
