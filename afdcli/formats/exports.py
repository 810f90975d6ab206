"""Classifiers as files for others: one table, and a row for each kind of file, with what writes it and what runs it.

All take pixels as they come from a decoder and give probabilities: normalisation and de-drifting are inside. What is to
be done to a photo before that, and what the classes are called, is in the file's metadata.

Options use this table too, so at the head nothing is imported that every start of afd would have to wait for. And what
runs a file does without torch, unless the file is torch's own: the others are ready in a fraction of the time it takes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

Run = Callable[["list[np.ndarray]"], "list[np.ndarray]"]
"""What runs a file: from the list of its inputs to that of its outputs, each an array over the images."""
METADATA = "afd"
"""The key, in a file's metadata, of the text that describes the classifier."""
TOGETHER = 4
"""Images that go through OpenVINO at a time, in each of its streams."""


@dataclass(frozen=True)
class Graph:
    """What is written to a file: a network, and all that a format has to know of it."""

    network: torch.nn.Module
    """The network in evaluation mode, on the processor: from `inputs`, in their order, to a tuple of `outputs`."""
    inputs: Mapping[str, torch.Tensor]
    """An example of each input, by name; the first axis is that of the images, and a file takes any number of them."""
    outputs: tuple[str, ...]
    """The names of what the network gives; of each, the first axis is that of the images."""
    metadata: str
    """A text that goes into the file, see `METADATA`: afd writes a classifier's `Description` as JSON."""


@dataclass(frozen=True)
class ExportFormat:
    """One kind of file for classifiers: how it is written, and how it is run on the processor."""

    ending: str
    """How the names of such files end. A file may bring others, which lie beside it."""
    packages: tuple[str, ...]
    """The modules, by the names that Python imports, that it takes to write and to run such a file."""
    install: str
    """What `pip install` needs to be told to get these packages."""
    save: Callable[[Graph, Path], None]
    """Writes a network to a path that ends in `ending`."""
    load: Callable[[Path, str, int | None], Run]
    """Reads the file at a path, and gives what runs it on the processor, in a precision that it `computes`, by so many
    threads, or, with None, as many as it finds right: a function from the list of inputs to the list of outputs, all
    arrays whose first axis is that of the images."""
    computes: Callable[[str], bool]
    """Whether such a file runs in this precision, `float32` or `bfloat16`, on this machine."""
    threads: int = 1
    """How many threads that run batches at the same time keep the processor busy: with two, the beginning of a batch
    runs beside the end of the last one. With none, batches are run in the main thread."""

    def is_installed(self) -> bool:
        """Whether all `packages` can be found here. None is imported."""
        return all(find_spec(package) for package in self.packages)


def import_openvino() -> Any:
    """The package `openvino`, kept from reporting its use to a server, as it does where it is imported by itself."""
    # What sends that is this package. Without it, OpenVINO sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _only_float32(precision: str) -> bool:
    return precision == "float32"


def _program(graph: Graph) -> torch.export.ExportedProgram:
    """The network as torch's own graph, for any number of images."""
    import torch

    images = torch.export.Dim("images", min=1, max=2**16)
    examples = tuple(graph.inputs.values())
    with torch.no_grad():
        return torch.export.export(graph.network, examples, dynamic_shapes=tuple({0: images} for _ in examples))


def _save_onnx(graph: Graph, path: Path) -> None:
    import torch

    inputs, outputs = tuple(graph.inputs), graph.outputs
    program = torch.onnx.export(_program(graph), input_names=inputs, output_names=outputs, dynamo=True, verbose=False)
    assert program is not None
    program.model.metadata_props[METADATA] = graph.metadata
    program.save(path)


def _load_onnx(path: Path, _: str, threads: int | None) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads or 0  # 0: it counts the processors
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return lambda inputs: list(session.run(None, dict(zip(names, inputs, strict=True))))


def _save_openvino(graph: Graph, path: Path) -> None:
    openvino = import_openvino()
    examples = tuple(graph.inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traces that hold for this size of image only, which is all there is
        model = openvino.convert_model(graph.network, example_input=examples)
    model.reshape({place: [-1, *one.shape[1:]] for place, one in enumerate(examples)})
    model.set_rt_info(graph.metadata, [METADATA])
    openvino.save_model(model, path, compress_to_fp16=False)


def _openvino_computes(precision: str) -> bool:
    if precision == "float32":  # everywhere, so that the others' users need not wait for the import
        return True
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _load_openvino(path: Path, precision: str, threads: int | None) -> Run:
    from concurrent.futures import ThreadPoolExecutor
    from queue import SimpleQueue

    import numpy as np

    openvino = import_openvino()
    core = openvino.Core()
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    settings: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
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


def _save_pt2(graph: Graph, path: Path) -> None:
    import torch

    torch.export.save(_program(graph), path, extra_files={f"{METADATA}.json": graph.metadata})


def _load_pt2(path: Path, _: str, __: int | None) -> Run:
    import torch  # whose threads are the process's own, and none of a file's

    network = torch.export.load(path).module()

    @torch.inference_mode()
    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [output.numpy() for output in network(*map(torch.from_numpy, inputs))]

    return run


EXPORTS = {
    "onnx": ExportFormat(
        ending=".onnx",
        packages=("onnx", "onnxruntime", "onnxscript"),
        install="'afd-dedrift[onnx]'",
        save=_save_onnx,
        load=_load_onnx,
        computes=_only_float32,
    ),
    "openvino": ExportFormat(
        ending=".xml",
        packages=("openvino",),
        install="openvino",
        save=_save_openvino,
        load=_load_openvino,
        computes=_openvino_computes,
        threads=2,
    ),
    "pt2": ExportFormat(
        ending=".pt2", packages=("torch",), install="torch", save=_save_pt2, load=_load_pt2, computes=_only_float32
    ),
}
"""Each kind of file that a classifier can be exported to, by the name that `--format` takes. A new one is a new row."""
