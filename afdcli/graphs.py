"""A classifier as a file that others run: OpenVINO's, ONNX, and torch's own.

It takes pixels as they come from a decoder, and gives probabilities: normalisation and de-drifting are inside. What has
to be done to a photo before that, and what the classes are called, is in the file's metadata.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from afdcli.classifier import DedriftedClassifier

Run = Callable[[list[np.ndarray]], list[np.ndarray]]
"""From pixels (B, H, W, 3), uint8, and, if the module uses it, quality (B,), float32, NaN where it is not known, to
probabilities (B, classes) and, if it is estimated, mean drift (B,)."""
METADATA = "afd"
"""The key in a file's metadata that has `describe` as JSON."""
TOGETHER = 4
"""Images that go through OpenVINO at a time, in each of its streams."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    packages: tuple[str, ...]
    """What it takes to write and to run it."""
    install: str
    """What pip gets these by."""
    save: Callable[[DedriftedClassifier, Path], None]
    load: Callable[[Path, str], Run]
    """On the processor, in a precision that it `computes`."""
    computes: Callable[[str], bool]
    """Whether it runs in this precision here, see `ModelOptions`."""

    def is_installed(self) -> bool:
        """Whether all packages are."""
        return all(find_spec(package) for package in self.packages)


class _FromPixels(nn.Module):
    """What is in the file: from (B, H, W, 3) uint8 to probabilities, with normalisation, module and all."""

    def __init__(self, classifier: DedriftedClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor, quality: Tensor | None = None) -> tuple[Tensor, ...]:
        logits, drift = self.classifier.predict(pixels.permute(0, 3, 1, 2).float() / 255, quality)
        probabilities = logits.softmax(1)
        return (probabilities,) if drift is None else (probabilities, drift)


def describe(classifier: DedriftedClassifier) -> dict[str, Any]:
    """All that is needed to use a file of `classifier` without this package, and to know where it is from."""
    backbone, module = classifier.backbone, classifier.module
    preprocessing = backbone.preprocessing
    return {
        "version": metadata.version("afd-dedrift"),
        "backbone": backbone.name,
        "backbone_sha256": backbone.fingerprint,
        "weights_sha256": classifier.weights,
        "method": "none" if module is None else module.method,
        "config": None if module is None or not module.compilable else asdict(module.config),
        "inputs": _input_names(classifier),
        "preprocessing": {**asdict(preprocessing), "interpolation": preprocessing.interpolation.name.lower()},
        "classes": backbone.labels.names,
    }


def _input_names(classifier: DedriftedClassifier) -> list[str]:
    uses_quality = classifier.module is not None and classifier.module.uses_quality
    return ["pixels", "quality"] if uses_quality else ["pixels"]


def _examples(classifier: DedriftedClassifier) -> tuple[Tensor, ...]:
    size = classifier.backbone.preprocessing.size
    pixels, quality = torch.zeros(2, size, size, 3, dtype=torch.uint8), torch.full((2,), torch.nan)
    return (pixels, quality)[: len(_input_names(classifier))]


def _import_openvino() -> Any:
    # OpenVINO reports its use to a server when it is imported. Without this package, which sends that, it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _save_openvino(classifier: DedriftedClassifier, path: Path) -> None:
    openvino = _import_openvino()
    examples = _examples(classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traces that hold for this size of image only, which is all there is
        model = openvino.convert_model(_FromPixels(classifier).eval(), example_input=examples)
    model.reshape({place: [-1, *one.shape[1:]] for place, one in enumerate(examples)})
    model.set_rt_info(json.dumps(describe(classifier)), [METADATA])
    openvino.save_model(model, path, compress_to_fp16=False)


def _only_float32(precision: str) -> bool:
    return precision == "float32"


def _openvino_computes(precision: str) -> bool:
    if precision == "float32":  # everywhere, so that the others' users need not wait for the import
        return True
    return "BF16" in _import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _load_openvino(path: Path, precision: str) -> Run:
    openvino = _import_openvino()
    core = openvino.Core()
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
    # Streams of few images each: what one layer leaves is still in the processor's cache for the next, and no core
    # waits for another that is busy decoding.
    streams = openvino.AsyncInferQueue(core.compile_model(core.read_model(path), "CPU", settings))

    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        count = len(inputs[0])
        together = max(1, min(TOGETHER, count // len(streams)))
        parts: dict[int, list[np.ndarray]] = {}
        streams.set_callback(
            lambda request, begin: parts.update({begin: [one.data.copy() for one in request.output_tensors]})
        )
        for begin in range(0, count, together):
            streams.start_async([one[begin : begin + together] for one in inputs], begin)
        streams.wait_all()
        return [np.concatenate(outputs) for outputs in zip(*(parts[begin] for begin in sorted(parts)), strict=True)]

    return run


def _save_pt2(classifier: DedriftedClassifier, path: Path) -> None:
    torch.export.save(_program(classifier), path, extra_files={f"{METADATA}.json": json.dumps(describe(classifier))})


def _load_pt2(path: Path, _: str) -> Run:
    network = torch.export.load(path).module()

    @torch.inference_mode()
    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [output.numpy() for output in network(*map(torch.from_numpy, inputs))]

    return run


def _save_onnx(classifier: DedriftedClassifier, path: Path) -> None:
    names = ["probabilities", "drift"]
    estimates_drift = classifier.module is not None and classifier.module.estimates_drift
    program = torch.onnx.export(
        _program(classifier),
        input_names=_input_names(classifier),
        output_names=names if estimates_drift else names[:1],
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[METADATA] = json.dumps(describe(classifier))
    program.save(path)


def _load_onnx(path: Path, _: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda inputs: list(session.run(None, dict(zip(names, inputs, strict=True))))


def _program(classifier: DedriftedClassifier) -> torch.export.ExportedProgram:
    """For any number of images."""
    examples = _examples(classifier)
    images = torch.export.Dim("images", min=1, max=2**16)
    with torch.no_grad():
        return torch.export.export(
            _FromPixels(classifier).eval(), examples, dynamic_shapes=tuple({0: images} for _ in examples)
        )


FORMATS = {  # the names are those of `options.EXPORT_ENDINGS`
    "openvino": Format(("openvino",), "openvino", _save_openvino, _load_openvino, _openvino_computes),
    "onnx": Format(("onnx", "onnxruntime", "onnxscript"), "'afd-dedrift[onnx]'", _save_onnx, _load_onnx, _only_float32),
    "pt2": Format(("torch",), "torch", _save_pt2, _load_pt2, _only_float32),
}
