"""A tiny network with modules, and a cache of their own for the tests of engines."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from afdcli.engines import cache as compiled
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.methods.fct import FCTConfig, FCTModule
from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import Checkpoint, save_checkpoint
from afdcli.options import ModelOptions

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of their own for these tests; the others share one."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(compiled, "place", lambda: folder)
    return folder


@pytest.fixture
def options(tmp_path):
    """A tiny random network, with a module of each kind that an engine treats differently."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), tmp_path / "network.safetensors")
    backbone = load_backbone("test_resnet", tmp_path / "network.safetensors")
    tap = backbone.tap("stage1")
    for name, module in (
        ("afd", AFDModule(AFDConfig(tap.place.channels, width=4, later=tap.widths, rank=4))),
        ("fct", FCTModule(FCTConfig(tap.place.channels, width=4))),
    ):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        checkpoint = Checkpoint(module, "stage1", "test_resnet", backbone.fingerprint)
        save_checkpoint(checkpoint, tmp_path / f"{name}.safetensors")
    return ModelOptions("test_resnet", tmp_path / "network.safetensors", "cpu", engine="openvino")
