"""A network whose weights are finite, and whose answers are not: no row of it says that all is well."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import afdcli
from afdcli.errors import BadCheckpoint
from afdcli.models import backbones
from afdcli.models.classifier import load_classifier
from afdcli.models.tensor_files import CHECKSUM
from afdcli.options import ModelOptions

torch.set_num_threads(1)


@pytest.fixture(params=["overflow", "negative variance"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """The options of a network that gives NaN for photos that are not black: a number that is too large, or a root."""
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=4)
    state = model.state_dict()
    if request.param == "overflow":
        state["fc.weight"] = torch.full_like(state["fc.weight"], 3e38)
        state["fc.weight"][::2] *= -1
    else:
        state[next(name for name in state if name.endswith("running_var"))].fill_(-1)
    save_file(state, tmp_path / "network.safetensors")
    return {
        "backbone": "test_resnet",
        "backbone_checkpoint": tmp_path / "network.safetensors",
        "device": "cpu",
        "weights": "none",
        "engine": "torch",
        "workers": 0,
    }


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


def test_it_is_refused_where_it_shows_at_once(network: dict[str, object], picture: Path) -> None:
    """Some engines take a NaN inside for 0, and would give probabilities."""
    with pytest.raises(BadCheckpoint, match=r"network\.safetensors' is of a network that gives NaN"):
        afdcli.classify(picture, **network | {"engine": "auto"})


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What shows with photos alone."""
    monkeypatch.setattr(backbones, "check_answers", lambda *_: None)


@pytest.mark.usefixtures("unseen")
def test_classify_says_so_in_the_row(network: dict[str, object], picture: Path) -> None:
    (row,) = afdcli.classify(picture, **network)
    assert row["status"] == "error" and "gives no number" in row["error"]
    assert row["label_1"] is None and row["prob_1"] is None


@pytest.mark.slow
@pytest.mark.usefixtures("unseen")
def test_evaluate_does_not_count_it(network: dict[str, object], picture: Path) -> None:
    network["weights"] = ("none",)
    with pytest.raises(afdcli.errors.WrongUse, match=r"gives no number|can be read"):
        list(afdcli.evaluate(picture, levels="jpeg:50", **network))


@pytest.mark.slow
def test_a_module_that_is_infinite_once_folded_is_refused(dedrifted: tuple[Path, Path]) -> None:
    path = dedrifted[1]
    with safe_open(path, framework="pt") as file:
        metadata = {key: text for key, text in file.metadata().items() if key != CHECKSUM}
    tensors = load_file(path)
    for name in ("squeeze_first.0.weight", "squeeze_first.1.weight"):
        tensors[f"enhance.enter.0.{name}"].fill_(1e30)
    save_file(tensors, path, metadata)
    options = ModelOptions("test_resnet", dedrifted[0], "cpu")
    with pytest.raises(BadCheckpoint, match=r"NaN or infinity in its tensor 'enhance\.enter\.0\.weight'"):
        load_classifier(replace(options), str(path))
