"""Every engine says what torch says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from afdcli.engines.engine import COMPILED, CompiledClassifier
from afdcli.engines.loading import load_engine
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import ModelOptions

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)
QUALITY = np.array([10, np.nan, 90, 50, np.nan], dtype=np.float32)


@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("weights", ["none", "afd", "fct"])
def test_a_compiled_classifier_gives_what_torch_gives_for_any_number_of_images(options, tmp_path, weights, engine):
    weights = weights if weights == "none" else str(tmp_path / f"{weights}.safetensors")
    compiled, plain = (load_engine(replace(options, engine=name), weights) for name in (engine, "torch"))
    assert isinstance(compiled, CompiledClassifier) and isinstance(plain, DedriftedClassifier)
    for count in (5, 1, 3):
        found, expected = (one.predict_topk(PIXELS[:count], 8, QUALITY[:count]) for one in (compiled, plain))
        assert found[0].tolist() == expected[0].tolist()
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
        assert (found[2] is None) == (expected[2] is None)
        if found[2] is not None:
            np.testing.assert_allclose(found[2], expected[2], atol=1e-5)


def test_the_shipped_classifier_is_the_same_compiled():
    model = ModelOptions(device="cpu")
    pixels = np.random.default_rng(1).integers(0, 256, (3, 7, 7, 3), dtype=np.uint8)
    pixels = pixels.repeat(32, axis=1).repeat(32, axis=2)
    found, expected = (
        load_engine(replace(model, engine=name), "auto").predict_topk(pixels, 5) for name in ("auto", "torch")
    )
    assert found[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-5)


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_bfloat16_gives_nearly_the_same(options, tmp_path, engine):
    weights = str(tmp_path / "afd.safetensors")
    half = load_engine(replace(options, engine=engine, precision="bfloat16"), weights).predict_topk(PIXELS, 8)
    whole = load_engine(options, weights).predict_topk(PIXELS, 8)
    shares = [np.zeros((5, 8)), np.zeros((5, 8))]
    for share, (index, probability, drift) in zip(shares, (half, whole), strict=True):
        assert probability.dtype == drift.dtype == np.float32
        np.put_along_axis(share, index, probability, 1)
    assert 0 < np.abs(shares[0] - shares[1]).max() < 0.02, "not the same bits, and near"
