"""Backbones are what timm says they are, or are refused in a sentence."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from afdcli.errors import BackboneUnavailable, UnsupportedBackbone
from afdcli.models import from_timm
from afdcli.models.backbones import load_backbone
from afdcli.models.classifier import DedriftedClassifier

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
NAME = "tf_efficientnet_lite0"
TINY = "test_vit"


def test_the_default_backbone_is_described_as_timm_describes_it():
    backbone = load_backbone(NAME)
    config = timm.get_pretrained_cfg(NAME)
    assert backbone.name == NAME
    assert (backbone.mean, backbone.std) == (config.mean, config.std)
    assert (backbone.preprocessing.size, backbone.preprocessing.crop_pct) == (224, config.crop_pct)
    assert len(backbone.labels.names) == len(backbone.labels.wnids) == 1000
    assert (backbone.labels.wnids[0], backbone.labels.names[0].split(",")[0]) == ("n01440764", "tench")


def test_nothing_is_trained():
    backbone = DedriftedClassifier(load_backbone(NAME))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("name", "near"), [("tf_efficientnet_lit0", NAME), ("resnet5", "resnet50"), ("qqqq", "timm.list")]
)
def test_an_unknown_name_gets_suggestions(name, near):
    with pytest.raises(BackboneUnavailable, match=f"timm has no model '{name}'.*{near}"):
        load_backbone(name)


def test_a_checkpoint_of_1000_classes_has_imagenets_labels(tmp_path):
    save_file(timm.create_model(TINY, num_classes=1000).state_dict(), tmp_path / "tiny.safetensors")
    assert load_backbone(TINY, tmp_path / "tiny.safetensors").labels.wnids[281] == "n02123045"


def test_preprocessing_that_is_not_known_is_refused(monkeypatch, checkpoint):
    def border(*_, **__):
        return {**config, "crop_mode": "border"}

    config = from_timm.resolve_data_config({}, model=timm.create_model(TINY))
    monkeypatch.setattr(from_timm, "resolve_data_config", border)
    with pytest.raises(UnsupportedBackbone, match="border"):
        load_backbone(TINY, checkpoint)
