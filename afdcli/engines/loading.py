"""From options to a classifier on the engine that runs it fastest, torch being the last resort."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from afdcli.engines import cache
from afdcli.engines.engine import COMPILED, Engine, format_of
from afdcli.errors import Fallback, WrongUse
from afdcli.machines.hardware import may_have_gpu
from afdcli.options import ModelOptions

if TYPE_CHECKING:
    from afdcli.models.classifier import DedriftedClassifier


def load_engine(options: ModelOptions, weights: str = "none") -> Engine:
    """The classifier of `load_classifier`, on the engine of `options`: `auto` is, on a processor, the first of
    `COMPILED` that is installed, and otherwise torch, also where there is no room for what is compiled.

    Raises:
        WrongUse: the engine is not installed, or cannot run this.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
    """
    engine = _choose(options)
    if engine == "torch":
        return _in_torch(options, weights)
    on_processor = options.device == "cpu" or (options.device == "auto" and not may_have_gpu())
    place = cache.place()
    folder = place and place / cache.key(options, weights, engine)
    if folder and on_processor and (cached := cache.find(folder, engine, options.precision)):
        return cached
    classifier = _in_torch(options, weights)
    if not _is_compilable(classifier):
        if options.engine == "auto":
            return classifier
        raise WrongUse(f"{engine} runs neither on GPUs, nor networks from elsewhere. Use --engine torch.")
    return _compile(classifier, engine, folder, options)


def _compile(classifier: DedriftedClassifier, engine: str, folder: Path | None, options: ModelOptions) -> Engine:
    """`classifier` as it is in the cache, and so the same in every run: just converted, its last bits may differ."""
    if folder and (cached := cache.find(folder, engine, options.precision)):
        return cached
    try:
        return cache.load(cache.keep(classifier, engine, folder), engine, options.precision)
    except (OSError, RuntimeError) as error:
        sentence = f"The classifier cannot be compiled for {engine} here ({cache.words(error)})"
        advice = "XDG_CACHE_HOME, or TMPDIR, has to name a folder with some room that can be written to."
        if options.engine != "auto":
            raise WrongUse(f"{sentence}. {advice} Or use --engine torch.") from None
        warnings.warn(Fallback(f"{sentence}, so torch runs it, which is slower. {advice}"), stacklevel=2)
        return classifier


def is_compiled(options: ModelOptions, weights: str = "none") -> bool:
    """Whether nothing has to be compiled for `load_engine`, because it was before, or runs in torch.

    Raises:
        WrongUse: the engine is not installed, or cannot run this.
    """
    engine = _choose(options)
    if engine == "torch" or not (options.device == "cpu" or (options.device == "auto" and not may_have_gpu())):
        return True
    place = cache.place()
    return place is not None and cache.is_current(place / cache.key(options, weights, engine))


def compiling_engines(classifier: DedriftedClassifier) -> list[str]:
    """The engines of `COMPILED` that are installed and can run `classifier`, the fastest first."""
    return _installed_engines(classifier.precision) if _is_compilable(classifier) else []


def _is_compilable(classifier: DedriftedClassifier) -> bool:
    return classifier.mean.device.type == "cpu" and (classifier.module is None or classifier.module.compilable)


def _in_torch(options: ModelOptions, weights: str) -> DedriftedClassifier:
    from afdcli.models.classifier import load_classifier  # seconds, which what is in the cache need not wait for

    return load_classifier(options, weights)


def _installed_engines(precision: str) -> list[str]:
    formats = {engine: format_of(engine) for engine in COMPILED}
    return [engine for engine, format_ in formats.items() if format_.is_installed() and format_.computes(precision)]


def _choose(options: ModelOptions) -> str:
    if options.engine == "torch":
        return "torch"
    engines = _installed_engines(options.precision)
    if options.engine == "auto":
        return next(iter(engines), "torch")
    format_ = format_of(options.engine)
    if not format_.is_installed():
        raise WrongUse(f"The engine {options.engine} is not installed. Install it with: pip install {format_.install}")
    if options.engine not in engines:
        raise WrongUse(f"{options.engine} does not compute in {options.precision} here. Use --engine torch.")
    return options.engine
