"""Files of classifiers, and what runs them on a processor: OpenVINO, ONNX Runtime, and torch itself.

Nothing here imports torch until a file is torch's own: the others are ready in a fraction of the time that takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

Run = Callable[[list[np.ndarray]], list[np.ndarray]]
"""From the inputs of a `Description` to its outputs."""
TOGETHER = 4
"""Images that go through OpenVINO at a time, in each of its streams."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    packages: tuple[str, ...]
    """What it takes to write and to run it."""
    install: str
    """What pip gets these by."""
    load: Callable[[Path, str], Run]
    """On the processor, in a precision that it `computes`."""
    computes: Callable[[str], bool]
    """Whether it runs in this precision here, see `ModelOptions`."""
    lanes: int = 1
    """Threads that keep it busy: with two, the beginning of a batch runs beside the end of the last one. With none, it
    runs in the main thread."""

    def is_installed(self) -> bool:
        """Whether all packages are."""
        return all(find_spec(package) for package in self.packages)


def import_openvino() -> Any:
    """The package."""
    # OpenVINO reports its use to a server when it is imported. Without this package, which sends that, it does not.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _only_float32(precision: str) -> bool:
    return precision == "float32"


def _openvino_computes(precision: str) -> bool:
    if precision == "float32":  # everywhere, so that the others' users need not wait for the import
        return True
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _load_openvino(path: Path, precision: str) -> Run:
    openvino = import_openvino()
    core = openvino.Core()
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
    # Streams of few images each: what one layer leaves is still in the processor's cache for the next, and no core
    # waits for another that is busy decoding.
    network = core.compile_model(core.read_model(path), "CPU", settings)
    count = network.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    streams, requests = ThreadPoolExecutor(count), SimpleQueue[Any]()
    for _ in range(count):
        requests.put(network.create_infer_request())
    # Whoever is the first to look into a tensor prepares that; two threads at once would wait for each other for ever.
    _ = openvino.Tensor(np.zeros(1)).data

    def infer(inputs: list[np.ndarray]) -> list[np.ndarray]:
        request = requests.get()
        try:
            request.infer(inputs)
            return [output.data.copy() for output in request.output_tensors]
        finally:
            requests.put(request)

    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        together = max(1, min(TOGETHER, len(inputs[0]) // count))
        begins = range(0, len(inputs[0]), together)
        parts = streams.map(infer, [[one[begin : begin + together] for one in inputs] for begin in begins])
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    return run


def _load_pt2(path: Path, _: str) -> Run:
    import torch

    network = torch.export.load(path).module()

    @torch.inference_mode()
    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [output.numpy() for output in network(*map(torch.from_numpy, inputs))]

    return run


def _load_onnx(path: Path, _: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda inputs: list(session.run(None, dict(zip(names, inputs, strict=True))))


FORMATS = {  # the names are those of `options.EXPORT_ENDINGS`
    "openvino": Format(("openvino",), "openvino", _load_openvino, _openvino_computes, lanes=2),
    "onnx": Format(("onnx", "onnxruntime", "onnxscript"), "'afd-dedrift[onnx]'", _load_onnx, _only_float32),
    "pt2": Format(("torch",), "torch", _load_pt2, _only_float32),
}
