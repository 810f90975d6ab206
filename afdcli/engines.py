"""The classifier on whatever runs it fastest: torch itself, or compiled by OpenVINO, which is for processors."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import warnings
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor, nn

from afdcli.classifier import DedriftedClassifier, identify_weights, load_classifier
from afdcli.errors import WrongUse
from afdcli.options import ModelOptions

CACHE = platformdirs.user_cache_path("afd-dedrift")
"""Where converted classifiers are kept. What is there may be deleted at any time."""
CACHE_FORMAT = 1


class CompiledClassifier:
    """A `DedriftedClassifier` in OpenVINO: several times as fast on a processor, in float32, equal to about 1e-6."""

    def __init__(self, classifier: DedriftedClassifier, weights: str) -> None:
        """Compile `classifier`, which has `weights`, as of `identify_weights`; what was converted before is reused."""
        self.classifier = classifier
        self.backbone = classifier.backbone
        self.module = classifier.module
        openvino = _import_openvino()
        core = openvino.Core()
        path = CACHE / f"{_key(classifier, weights)}.xml"
        model = _read(core, path)
        if model is None:
            model = _convert(openvino, classifier)
            _write(openvino, model, path)
            model = _read(core, path) or model  # as the next run will have it: the last bits may differ
        self._network = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def top(
        self, pixels: np.ndarray, k: int, quality: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """See `DedriftedClassifier.top`."""
        inputs = [pixels]
        if self.module is not None and self.module.uses_quality:
            inputs.append(np.full(len(pixels), np.nan, np.float32) if quality is None else np.float32(quality))
        outputs = list(self._network(inputs).values())
        index = np.argsort(-outputs[0], axis=1, kind="stable")[:, :k]
        return index, np.take_along_axis(outputs[0], index, 1), outputs[1] if len(outputs) > 1 else None


Engine = DedriftedClassifier | CompiledClassifier


def load_engine(options: ModelOptions, weights: str = "none") -> Engine:
    """The classifier of `load_classifier`, on the engine of `options`: `auto` is OpenVINO on a processor, where it is
    installed, and otherwise torch.

    Raises:
        WrongUse: OpenVINO is not installed, or cannot run this.
        BackboneUnavailable, BadCheckpoint, UnsupportedBackbone: see `load_classifier`.
    """
    classifier = load_classifier(options, weights)
    compilable = classifier.mean.device.type == "cpu" and (classifier.module is None or classifier.module.compilable)
    if options.engine == "torch" or (options.engine == "auto" and not (compilable and find_spec("openvino"))):
        return classifier
    if find_spec("openvino") is None:
        raise WrongUse("OpenVINO is not installed. Install it with: pip install openvino")
    if not compilable:
        raise WrongUse("OpenVINO runs neither on GPUs nor with networks from elsewhere here. Use --engine torch.")
    return CompiledClassifier(classifier, identify_weights(weights, classifier.backbone))


class _FromPixels(nn.Module):
    """What is compiled: from (B, H, W, 3) uint8 to probabilities, with normalisation, module and all."""

    def __init__(self, classifier: DedriftedClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor, quality: Tensor | None = None) -> tuple[Tensor, ...]:
        logits, drift = self.classifier.predict(pixels.permute(0, 3, 1, 2).float() / 255, quality)
        probabilities = logits.softmax(1)
        return (probabilities,) if drift is None else (probabilities, drift)


def _import_openvino() -> Any:
    # OpenVINO reports its use to a server when it is imported. Without this package, which sends that, it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _convert(openvino: Any, classifier: DedriftedClassifier) -> Any:
    """`classifier` as OpenVINO's model, for any number of images."""
    size = classifier.backbone.preprocessing.size
    inputs = [torch.zeros(2, size, size, 3, dtype=torch.uint8)]
    if classifier.module is not None and classifier.module.uses_quality:
        inputs.append(torch.full((2,), torch.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traces that hold for this size of image only, which is all there is
        model = openvino.convert_model(_FromPixels(classifier).eval(), example_input=tuple(inputs))
    model.reshape({place: [-1, *one.shape[1:]] for place, one in enumerate(inputs)})
    return model


def _key(classifier: DedriftedClassifier, weights: str) -> str:
    """A name that no two different networks share."""
    versions = {name: metadata.version(name) for name in ("afd-dedrift", "torch", "timm", "openvino")}
    about = [CACHE_FORMAT, classifier.backbone.name, classifier.backbone.fingerprint, weights, versions]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _read(core: Any, path: Path) -> Any | None:
    """The model at `path`; None if it is not there, or not just as it was written."""
    try:
        expected = path.with_suffix(".sha256").read_text()
        return core.read_model(path) if _checksum(path) == expected else None
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None


def _write(openvino: Any, model: Any, path: Path) -> None:
    """Keep `model` at `path`, all of it or nothing; where that cannot be, the next run converts it again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            fresh = Path(scratch) / path.name
            openvino.save_model(model, fresh, compress_to_fp16=False)
            fresh.with_suffix(".sha256").write_text(_checksum(fresh))
            for ending in (".bin", ".xml", ".sha256"):  # the checksum last: without it, the others do not count
                os.replace(fresh.with_suffix(ending), path.with_suffix(ending))
    except (OSError, RuntimeError):
        return


def _checksum(path: Path) -> str:
    """Of the two files that are a model."""
    return hashlib.sha256(path.read_bytes() + path.with_suffix(".bin").read_bytes()).hexdigest()
