"""The classifier on whatever runs it fastest: torch itself, or a runtime for processors that compiles it."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import platformdirs

from afdcli.classifier import DedriftedClassifier, load_classifier
from afdcli.errors import WrongUse
from afdcli.graphs import FORMATS, Run
from afdcli.options import EXPORT_ENDINGS, ModelOptions

CACHE = platformdirs.user_cache_path("afd-dedrift")
"""Where converted classifiers are kept, a folder for each. What is there may be deleted at any time."""
CACHE_FORMAT = 2
COMPILED = {"openvino": "openvino", "onnxruntime": "onnx"}
"""Engines that compile, the fastest first, and the format that each reads."""


class CompiledClassifier:
    """A `DedriftedClassifier` in a runtime that compiles it: faster on a processor; in float32, equal to about 1e-6."""

    def __init__(self, classifier: DedriftedClassifier, engine: str) -> None:
        """Compile `classifier` for `engine`, a key of `COMPILED`; what was converted before is reused."""
        self.engine = engine
        self.backbone = classifier.backbone
        self.module = classifier.module
        self.weights = classifier.weights
        self.added_parameters = classifier.added_parameters
        self.added_macs = classifier.added_macs
        self._run = _compiled(classifier, engine)

    def top(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """See `DedriftedClassifier.top`."""
        inputs = [pixels]
        if self.module is not None and self.module.uses_quality:
            inputs.append(np.full(len(pixels), np.nan, np.float32) if quality is None else np.float32(quality))
        outputs = self._run(inputs)
        index = np.argsort(-outputs[0], axis=1, kind="stable")[:, :k]
        return index, np.take_along_axis(outputs[0], index, 1), outputs[1] if len(outputs) > 1 else None


Engine = DedriftedClassifier | CompiledClassifier


def load_engine(options: ModelOptions, weights: str = "none") -> Engine:
    """The classifier of `load_classifier`, on the engine of `options`: `auto` is, on a processor, the first of
    `COMPILED` that is installed, and otherwise torch.

    Raises:
        WrongUse: the engine is not installed, or cannot run this.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
    """
    classifier = load_classifier(options, weights)
    engines = compiling_engines(classifier)
    if options.engine == "torch" or (options.engine == "auto" and not engines):
        return classifier
    engine = engines[0] if options.engine == "auto" else options.engine
    format_ = FORMATS[COMPILED[engine]]
    if not format_.is_installed():
        raise WrongUse(f"The engine {engine} is not installed. Install it with: pip install {format_.install}")
    if engine not in engines:
        raise WrongUse(f"{engine} runs neither on GPUs, nor all networks, nor all of bfloat16. Use --engine torch.")
    return CompiledClassifier(classifier, engine)


def compiling_engines(classifier: DedriftedClassifier) -> list[str]:
    """Those of `COMPILED` that are installed and can run `classifier`, the fastest first."""
    if classifier.mean.device.type != "cpu" or not (classifier.module is None or classifier.module.compilable):
        return []
    formats = {engine: FORMATS[name] for engine, name in COMPILED.items() if FORMATS[name].is_installed()}
    return [engine for engine, format_ in formats.items() if format_.computes(classifier.precision)]


def _compiled(classifier: DedriftedClassifier, engine: str) -> Run:
    """`classifier` as it comes from the cache, and so the same in every run: what was just converted may differ in the
    last bits from what is read back."""
    format_ = FORMATS[COMPILED[engine]]
    folder = CACHE / _key(classifier, engine)
    if _is_whole(folder):
        try:
            return format_.load(folder / _file(engine), classifier.precision)
        except RuntimeError:  # whole, and yet not to be read: as if it were damaged
            pass
    return format_.load(_convert(classifier, engine, folder) / _file(engine), classifier.precision)


def _file(engine: str) -> str:
    return f"network{EXPORT_ENDINGS[COMPILED[engine]]}"


def _key(classifier: DedriftedClassifier, engine: str) -> str:
    """A name that no two different networks share."""
    packages = ("afd-dedrift", "torch", "timm", *FORMATS[COMPILED[engine]].packages)
    versions = {name: metadata.version(name) for name in packages}
    backbone = classifier.backbone
    about = [CACHE_FORMAT, engine, backbone.name, backbone.fingerprint, classifier.weights, versions]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _convert(classifier: DedriftedClassifier, engine: str, folder: Path) -> Path:
    """Keep `classifier` in `folder`, all of it or nothing; where that cannot be, in one that goes with the process."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    except OSError:
        fresh = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)  # unless it is moved
    FORMATS[COMPILED[engine]].save(classifier, fresh / _file(engine))
    (fresh / "sha256").write_text(_checksum(fresh))
    shutil.rmtree(folder, ignore_errors=True)  # what is there is not whole
    try:
        os.replace(fresh, folder)
    except OSError:  # another process was faster, or there is no place
        return fresh
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether `folder` is just as it was written."""
    try:
        return (folder / "sha256").read_text() == _checksum(folder)
    except (OSError, UnicodeDecodeError):
        return False


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("network.*")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
