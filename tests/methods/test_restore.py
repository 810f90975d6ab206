import sys
from itertools import pairwise
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from spandrel.architectures.DnCNN import DnCNN
from torch import nn

from afdcli.errors import BadCheckpoint
from afdcli.methods.restore import ARCNN, ARCNNConfig, load_restorer
from afdcli.models.classifier import load_classifier
from afdcli.options import ModelOptions


def test_images_stay_images_and_untrained_ones_the_same() -> None:
    module, images = ARCNN(ARCNNConfig()), torch.rand(2, 3, 21, 33)
    assert torch.equal(module.restore(images), images)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    restored = module.restore(images)
    assert restored.shape == images.shape
    assert restored.min() >= 0 and restored.max() <= 1


def test_with_the_papers_widths_it_has_the_papers_size() -> None:
    sides, widths = (9, 7, 1, 5), (3, 64, 32, 16, 3)
    weights = sum(side * side * a * b for side, (a, b) in zip(sides, pairwise(widths), strict=True))
    module = ARCNN(ARCNNConfig((64, 32, 16)))
    assert sum(parameter.numel() for parameter in module.parameters()) == weights + sum(widths[1:])


def network(tmp_path: Path, channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    model = DnCNN(in_nc=channels, out_nc=channels, nc=8, nb=17, act_mode="R").eval()
    save_file(model.state_dict(), tmp_path / "dncnn.safetensors")
    torch.save(model.state_dict(), tmp_path / "dncnn.pth")
    return model


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_a_network_of_others_restores_images_before_the_classifier(tmp_path: Path, ending: str) -> None:
    model = network(tmp_path)
    images = torch.rand(2, 3, 160, 160)
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), tmp_path / "network.safetensors")
    options = ModelOptions("test_resnet", tmp_path / "network.safetensors", "cpu")
    with torch.inference_mode():
        restored = model(images).clamp(0, 1)
        torch.testing.assert_close(load_restorer(tmp_path / f"dncnn{ending}").restore(images), restored)
        logits = load_classifier(options, str(tmp_path / f"dncnn{ending}"))(images)
        torch.testing.assert_close(logits, load_classifier(options)(restored), rtol=1e-4, atol=1e-4)


def test_what_is_no_network_for_colour_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network(tmp_path, channels=1)
    with pytest.raises(BadCheckpoint, match="restores grey images"):
        load_restorer(tmp_path / "dncnn.pth")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(BadCheckpoint, match="nor a network that spandrel knows"):
        load_restorer(tmp_path / "foreign.safetensors")
    with pytest.raises(BadCheckpoint, match=r"must end in \.pth"):
        load_restorer(tmp_path / "script.pt")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(BadCheckpoint, match=r"pip install 'afd-dedrift\[restore\]'"):
        load_restorer(tmp_path / "foreign.safetensors")
