"""`--labels FILE`: rows have its names, folders are compared with them, and a run is not gone on with under others."""

import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import afdcli
from afdcli.commands.classify import Classification
from afdcli.errors import OutputRefused, WrongUse
from afdcli.options import ClassifyOptions, build

torch.set_num_threads(1)


@pytest.fixture
def asked(tmp_path: Path, photo: Image.Image) -> dict[str, object]:
    """Options of a network that gives the second of two classes, and labels for it; a photo of each class."""
    torch.manual_seed(0)
    state = timm.create_model("test_resnet", num_classes=2).state_dict()
    state["fc.weight"].zero_()
    state["fc.bias"] = torch.tensor([0.0, 5.0])
    save_file(state, tmp_path / "network.safetensors", {"labels": '["a", "b"]'})
    for folder in ("ant", "Crème-brûlée"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        photo.save(tmp_path / "photos" / folder / "a.png")
    (tmp_path / "names.json").write_text(json.dumps({"1": "crème brûlée", "0": "ant"}))
    return {
        "backbone": "test_resnet",
        "backbone_checkpoint": tmp_path / "network.safetensors",
        "label_names": tmp_path / "names.json",
        "device": "cpu",
        "engine": "torch",
        "workers": 0,
    }


@pytest.mark.slow
def test_rows_and_folders_have_the_names_of_the_file(asked: dict[str, object], tmp_path: Path) -> None:
    rows = list(afdcli.classify(tmp_path / "photos", weights="none", **asked))
    assert [row["label_1"] for row in rows] == ["crème brûlée"] * 2
    rows = list(afdcli.evaluate(tmp_path / "photos", weights="none", levels="jpeg:50", **asked))
    assert [row["top1"] for row in rows] == [50.0, 50.0]
    del asked["workers"]
    model = afdcli.load(weights="none", **asked)
    assert model(tmp_path / "photos" / "ant" / "a.png").labels == ("crème brûlée", "ant")


@pytest.mark.slow
def test_a_run_is_gone_on_with_under_the_same_names_only(asked: dict[str, object], tmp_path: Path) -> None:
    given = {"inputs": (str(tmp_path / "photos"),), "output": tmp_path / "a.csv", "weights": "none", **asked}
    list(Classification(build(ClassifyOptions, given)).rows())
    record = json.loads((tmp_path / "a.csv.json").read_text())
    assert record["backbone_weights"] == {"part": None, "ema": None} and "labels_sha256" in record["settings"]
    list(Classification(build(ClassifyOptions, given | {"resume": True})).rows())
    (tmp_path / "names.json").write_text('["bee", "cake"]')
    with pytest.raises(OutputRefused, match="labels_sha256 was"):
        Classification(build(ClassifyOptions, given | {"resume": True}))


def test_a_wrong_number_of_names_is_refused(asked: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text('["ant", "bee", "cat"]')
    with pytest.raises(WrongUse, match=r"--labels .* does not fit test_resnet: there are 3 labels for 2 classes"):
        afdcli.classify(tmp_path / "photos", weights="none", **asked)
