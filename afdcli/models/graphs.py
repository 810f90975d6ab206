"""A classifier as a file that others run: OpenVINO's, ONNX, and torch's own.

It takes pixels as they come from a decoder, and gives probabilities: normalisation and de-drifting are inside. What has
to be done to a photo before that, and what the classes are called, is in the file's metadata.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from afdcli.formats.exports import import_openvino
from afdcli.models.classifier import DedriftedClassifier
from afdcli.results.marks import EXPORT_KEY


class _FromPixels(nn.Module):
    """What is in the file: from (B, H, W, 3) uint8 to probabilities, with normalisation, module and all."""

    def __init__(self, classifier: DedriftedClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor, quality: Tensor | None = None) -> tuple[Tensor, ...]:
        logits, drift = self.classifier.predict(pixels.permute(0, 3, 1, 2).float() / 255, quality)
        probabilities = logits.softmax(1)
        return (probabilities,) if drift is None else (probabilities, drift)


def _examples(classifier: DedriftedClassifier) -> tuple[Tensor, ...]:
    size = classifier.backbone.preprocessing.size
    pixels, quality = torch.zeros(2, size, size, 3, dtype=torch.uint8), torch.full((2,), torch.nan)
    return (pixels, quality)[: len(classifier.about.inputs)]


def _about(classifier: DedriftedClassifier) -> str:
    return json.dumps(classifier.about.to_json())


def _save_openvino(classifier: DedriftedClassifier, path: Path) -> None:
    openvino = import_openvino()
    examples = _examples(classifier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traces that hold for this size of image only, which is all there is
        model = openvino.convert_model(_FromPixels(classifier).eval(), example_input=examples)
    model.reshape({place: [-1, *one.shape[1:]] for place, one in enumerate(examples)})
    model.set_rt_info(_about(classifier), [EXPORT_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def _save_pt2(classifier: DedriftedClassifier, path: Path) -> None:
    torch.export.save(_program(classifier), path, extra_files={f"{EXPORT_KEY}.json": _about(classifier)})


def _save_onnx(classifier: DedriftedClassifier, path: Path) -> None:
    about = classifier.about
    program = torch.onnx.export(
        _program(classifier), input_names=about.inputs, output_names=about.outputs, dynamo=True, verbose=False
    )
    assert program is not None
    program.model.metadata_props[EXPORT_KEY] = _about(classifier)
    program.save(path)


def _program(classifier: DedriftedClassifier) -> torch.export.ExportedProgram:
    """For any number of images."""
    examples = _examples(classifier)
    images = torch.export.Dim("images", min=1, max=2**16)
    with torch.no_grad():
        return torch.export.export(
            _FromPixels(classifier).eval(), examples, dynamic_shapes=tuple({0: images} for _ in examples)
        )


SAVE: dict[str, Callable[[DedriftedClassifier, Path], None]] = {
    "openvino": _save_openvino,
    "onnx": _save_onnx,
    "pt2": _save_pt2,
}
"""How each of `exports.FORMATS` is written."""
