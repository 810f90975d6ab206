"""A module goes behind any submodule that all goes through, and nothing else changes."""

import pytest
import timm
import torch
from torch import nn

from afdcli.errors import UnsupportedBackbone
from afdcli.models import taps
from afdcli.models.places import survey

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.


def find(name, tap):
    model = timm.create_model(name).eval()
    height, width = model.pretrained_cfg["input_size"][1:]
    return taps.find(model, survey(model, (height, width)), tap, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tap", "place"),
    [
        ("test_resnet", "stem", "act1"),
        ("test_resnet", "stage1", "layer1"),
        ("test_resnet", "auto", "layer2"),
        ("test_resnet", "layer3.0", "layer3.0"),
        ("test_efficientnet", "stem", "bn1"),
        ("test_efficientnet", "stage2", "blocks.2"),
        ("test_vit", "auto", "patch_embed"),
        ("test_vit", "blocks.2", "blocks.2"),
        ("test_convnext", "stage1", "stages.0"),
        ("test_mambaout", "stage2", "stages.1"),
    ],
)
def test_a_tap_is_the_place_that_its_name_says(name, tap, place):
    assert find(name, tap).place.name == place


@pytest.mark.slow
def test_what_is_corrected_behind_the_tap_are_the_models_blocks():
    assert [block.name for block in find("test_resnet", "stage2").blocks] == ["layer3.0", "layer4.0"]
    assert [block.name for block in find("test_vit", "blocks.3").blocks] == ["blocks.4", "blocks.5"]


def test_a_plain_sequence_is_corrected_once_at_each_resolution():
    layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1)]
    model = nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)).eval()
    found = taps.find(model, survey(model, (32, 32)), "stage1", "own")
    assert found.place.name == "3" and [block.name for block in found.blocks] == ["5"]


@pytest.mark.parametrize(
    ("name", "tap", "said"),
    [
        ("test_resnet", "layer2.O", r"no submodule 'layer2.O'\. Did you mean 'layer2\.0'"),
        ("test_resnet", "stage3", "Did you mean 'stage"),
        ("test_resnet", "layer2.0.conv1", r"passed by: not all goes through it\. Take 'layer2\.0', which it is in"),
        ("test_resnet", "zzzz", r"Taps that it has: stem \(act1\), stage1 \(layer1\), stage2 \(layer2\), layer1\.0"),
        ("test_resnet", "global_pool", "gives no map, but B x"),
        ("test_vit", "stage2", r"no place at 1/8 .* Taps that it has: stem \(patch_embed\), blocks\.0"),
        ("test_vit", "blocks.0.attn.q_norm", "cannot be a tap in test_vit"),
    ],
)
def test_what_is_no_tap_is_refused_with_those_that_are(name, tap, said):
    with pytest.raises(UnsupportedBackbone, match=said) as refusal:
        find(name, tap)
    assert "\n" not in str(refusal.value)


def test_a_network_without_any_place_is_refused_in_a_sentence():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)).eval()
    found = survey(model, (16, 16))
    for tap in ("auto", "stem", "stage1", "0"):
        with pytest.raises(UnsupportedBackbone, match=r"own|'0'"):
            taps.find(model, found, tap, "own")
