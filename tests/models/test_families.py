"""A module goes into classifiers of every kind, see `benchmarks/backbones.py`, which looks at all of them."""

import runpy
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "backbones.py"))
FAMILIES = {
    "test_resnet": "layer2",
    "test_byobnet": "stages.1",
    "test_convnext": "stages.1",
    "test_efficientnet": "blocks.2",
    "test_mambaout": "stages.1",
    "test_coatnet": "stages.1",
    "test_nfnet": "stages.1",
    "test_vit": "patch_embed",
    "test_vit_relpos": "patch_embed",
    "mobilenetv3_small_050": "blocks.1",
    "ghostnet_050": "blocks.3",
    "starnet_s050": "stages.1",
    "efficientvit_b0": "stages.1",
}
"""Small models of many families, and where `auto` is in each."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), FAMILIES.items())
def test_a_module_goes_into_it_and_changes_nothing_else(name, place):
    assert SCRIPT["check"](name).taps["auto"].startswith(f"`{place}`")


@pytest.mark.slow
def test_what_has_two_branches_from_the_pixels_on_is_refused_in_a_sentence():
    assert "no place that all goes through" in SCRIPT["check"]("crossvit_tiny_240").refused
