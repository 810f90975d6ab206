"""The classifier on whatever runs it fastest: torch itself, or a runtime for processors that compiles it.

What was compiled before is taken from a cache without importing torch, and so is ready in half a second.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import platformdirs

from afdcli.errors import WrongUse
from afdcli.formats.exports import FORMATS, Run
from afdcli.machines.hardware import may_have_gpu
from afdcli.models.description import Description
from afdcli.options import EXPORT_ENDINGS, ModelOptions

if TYPE_CHECKING:
    from afdcli.models.classifier import DedriftedClassifier

CACHE = platformdirs.user_cache_path("afd-dedrift")
"""Where converted classifiers are kept, a folder for each. What is there may be deleted at any time."""
KEPT = 30
"""How many of them, those used last."""
CACHE_FORMAT = 4
COMPILED = {"openvino": "openvino", "onnxruntime": "onnx"}
"""Engines that compile, the fastest first, and the format that each reads."""
RECORD = "record.json"
"""In each folder of the cache: what the classifier is, and checksums of its files and of those it was made from."""


class Engine(Protocol):
    """A classifier, whatever runs it."""

    @property
    def engine(self) -> str:
        """`torch`, or a key of `COMPILED`."""

    @property
    def lanes(self) -> int:
        """See `Format.lanes`."""

    @property
    def about(self) -> Description:
        """What it is."""

    def top(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """See `DedriftedClassifier.top`."""

    def added_parameters(self) -> int:
        """See `DedriftedClassifier.added_parameters`."""

    def added_macs(self) -> int:
        """See `DedriftedClassifier.added_macs`."""


@dataclass(frozen=True)
class CompiledClassifier:
    """A `DedriftedClassifier` in a runtime that compiles it: faster on a processor; in float32, equal to about 1e-6."""

    engine: str
    lanes: int
    about: Description
    parameters: int
    macs: int
    run: Run

    def top(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """See `DedriftedClassifier.top`."""
        inputs = [pixels]
        if self.about.uses_quality:
            inputs.append(np.full(len(pixels), np.nan, np.float32) if quality is None else np.float32(quality))
        outputs = self.run(inputs)
        index = np.argsort(-outputs[0], axis=1, kind="stable")[:, :k]
        return index, np.take_along_axis(outputs[0], index, 1), outputs[1] if self.about.estimates_drift else None

    def added_parameters(self) -> int:
        """See `DedriftedClassifier.added_parameters`."""
        return self.parameters

    def added_macs(self) -> int:
        """See `DedriftedClassifier.added_macs`."""
        return self.macs


def load_engine(options: ModelOptions, weights: str = "none") -> Engine:
    """The classifier of `load_classifier`, on the engine of `options`: `auto` is, on a processor, the first of
    `COMPILED` that is installed, and otherwise torch.

    Raises:
        WrongUse: the engine is not installed, or cannot run this.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
    """
    engine = _choose(options)
    if engine == "torch":
        return _in_torch(options, weights)
    on_processor = options.device == "cpu" or (options.device == "auto" and not may_have_gpu())
    folder = CACHE / _key(options, weights, engine)
    if on_processor and (cached := _cached(folder, engine, options.precision)):
        return cached
    classifier = _in_torch(options, weights)
    if not _is_compilable(classifier):
        if options.engine == "auto":
            return classifier
        raise WrongUse(f"{engine} runs neither on GPUs, nor networks from elsewhere. Use --engine torch.")
    # As it is in the cache, and so the same in every run: what was just converted may differ in the last bits.
    cached = _cached(folder, engine, options.precision)
    return cached or _load(_convert(classifier, engine, folder), engine, options.precision)


def compiling_engines(classifier: DedriftedClassifier) -> list[str]:
    """Those of `COMPILED` that are installed and can run `classifier`, the fastest first."""
    return _installed_engines(classifier.precision) if _is_compilable(classifier) else []


def _is_compilable(classifier: DedriftedClassifier) -> bool:
    return classifier.mean.device.type == "cpu" and (classifier.module is None or classifier.module.compilable)


def _in_torch(options: ModelOptions, weights: str) -> DedriftedClassifier:
    from afdcli.models.classifier import load_classifier

    return load_classifier(options, weights)


def _installed_engines(precision: str) -> list[str]:
    formats = {engine: FORMATS[name] for engine, name in COMPILED.items() if FORMATS[name].is_installed()}
    return [engine for engine, format_ in formats.items() if format_.computes(precision)]


def _choose(options: ModelOptions) -> str:
    if options.engine == "torch":
        return "torch"
    engines = _installed_engines(options.precision)
    if options.engine == "auto":
        return next(iter(engines), "torch")
    format_ = FORMATS[COMPILED[options.engine]]
    if not format_.is_installed():
        raise WrongUse(f"The engine {options.engine} is not installed. Install it with: pip install {format_.install}")
    if options.engine not in engines:
        raise WrongUse(f"{options.engine} does not compute in {options.precision} here. Use --engine torch.")
    return options.engine


def _key(options: ModelOptions, weights: str, engine: str) -> str:
    """A name for what is asked for; whether the files are still the same is in the `RECORD`."""
    packages = ("afd-dedrift", "torch", "timm", *FORMATS[COMPILED[engine]].packages)
    versions = {name: metadata.version(name) for name in packages}
    checkpoint = options.backbone_checkpoint and str(options.backbone_checkpoint.absolute())
    module = weights if weights in ("auto", "none") else str(Path(weights).absolute())
    here = str(Path(__file__).parents[1])  # Another copy of afd may come with other modules.
    about = [CACHE_FORMAT, here, engine, options.backbone, checkpoint, module, versions]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _cached(folder: Path, engine: str, precision: str) -> CompiledClassifier | None:
    """What is in `folder`, if it can be used."""
    if not _is_current(folder):
        return None
    with suppress(OSError):  # in a cache that may only be read
        os.utime(folder)
    try:
        return _load(folder, engine, precision)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):  # whole, and yet wrong
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _is_current(folder: Path) -> bool:
    """Whether `folder` is just as it was written, and what it was made from is as it was then."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        files = dict(record["files"])
        return bool(files) and all(_digest(folder / path) == digest for path, digest in files.items())
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not afd's
        return False


def _load(folder: Path, engine: str, precision: str) -> CompiledClassifier:
    record = json.loads((folder / RECORD).read_bytes())
    format_ = FORMATS[COMPILED[engine]]
    about = Description.from_json(record["about"])
    run = format_.load(folder / _file(engine), precision)
    return CompiledClassifier(engine, format_.lanes, about, record["parameters"], record["macs"], run)


def _file(engine: str) -> str:
    return f"network{EXPORT_ENDINGS[COMPILED[engine]]}"


def _convert(classifier: DedriftedClassifier, engine: str, folder: Path) -> Path:
    """Keep `classifier` in `folder`, all of it or nothing; where that cannot be, in one that goes with the process."""
    from afdcli.models.graphs import SAVE

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    except OSError:
        fresh = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)  # unless it is moved
    SAVE[COMPILED[engine]](classifier, fresh / _file(engine))
    network = {path.name: _digest(path) for path in fresh.iterdir()}
    sources = {str(path.absolute()): _digest(path) for path in classifier.files}
    record = {
        "about": classifier.about.to_json(),
        "parameters": classifier.added_parameters(),
        "macs": classifier.added_macs(),
        "files": {**network, **sources} if sources else {},  # Without sources, nobody could tell if it is still right.
    }
    (fresh / RECORD).write_text(json.dumps(record))
    if _is_current(folder):  # another process was faster
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.replace(fresh, folder)
    except OSError:  # another process was faster still, or there is no place
        return fresh
    _forget(folder.parent)
    return folder


def _forget(cache: Path) -> None:
    """Delete what has not been used for longest."""
    records = sorted(cache.glob(f"*/{RECORD}"), key=lambda path: path.parent.stat().st_mtime, reverse=True)
    for record in records[KEPT:]:
        shutil.rmtree(record.parent, ignore_errors=True)


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
