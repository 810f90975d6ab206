"""The engine asked for, or the fastest that there is."""

from dataclasses import replace

import pytest
import torch

from afdcli.engines.loading import load_engine
from afdcli.errors import WrongUse
from afdcli.formats import exports
from afdcli.models.classifier import DedriftedClassifier

torch.set_num_threads(1)


def test_an_engine_that_is_not_there_is_refused_and_auto_does_without(options, monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    with pytest.raises(WrongUse, match="pip install openvino"):
        load_engine(options)
    with pytest.raises(WrongUse, match=r"pip install 'afd-dedrift\[onnx\]'"):
        load_engine(replace(options, engine="onnxruntime"))
    assert isinstance(load_engine(replace(options, engine="auto")), DedriftedClassifier)
    with pytest.raises(WrongUse, match="--engine must be one of auto, torch, openvino, onnxruntime"):
        replace(options, engine="tensorflow")


def test_bfloat16_where_an_engine_does_not_have_it(options, monkeypatch):
    half = replace(options, precision="bfloat16")
    with pytest.raises(WrongUse, match="Use --engine torch"):
        load_engine(replace(half, engine="onnxruntime"))
    monkeypatch.setitem(
        exports.EXPORTS, "openvino", replace(exports.EXPORTS["openvino"], computes=lambda name: name == "float32")
    )
    assert isinstance(load_engine(replace(half, engine="auto")), DedriftedClassifier)
    with pytest.raises(WrongUse, match="--precision must be one of float32, bfloat16"):
        replace(options, precision="float8")
