"""Which channels stay: those without which the module is the same; and the command that begins with them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from afdcli.commands.train import Training
from afdcli.errors import WrongUse
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from afdcli.options import ModelOptions, TrainOptions
from afdcli.training.pruning import channels, narrow_config, prune

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

SHAPES = {
    "angle": AFDConfig(5, width=4, growth=2, depth=2, hidden=6, estimator="angle", later=(8, 0, 3), rank=4),
    "paper": AFDConfig(5, width=4, growth=2, depth=2, hidden=6, estimator="paper", later=(8, 0, 3), rank=4),
    "pooled": AFDConfig(5, width=4, growth=1, depth=0, hidden=6, estimator="paper", pooled=True),
    "no later layers": AFDConfig(5, width=3, growth=3, depth=1, stride=2, hidden=6, estimator="angle"),
}
NARROW = TrainOptions(("photos",), weights="a.safetensors", narrow=True, width=2, growth=1, hidden=4, rank=2)


def random_module(config):
    torch.manual_seed(0)
    module = AFDModule(config)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module.folded().eval()


def outputs(module):
    rng = torch.Generator().manual_seed(1)
    features, images = (torch.rand(shape, generator=rng) for shape in ((2, 5, 12, 12), (2, 3, 48, 48)))
    mended, drift = module.mend(features, images)
    later = [torch.rand(2, width, 6, 6, generator=rng) for width in module.config.later if width]
    return [mended, drift, *(module.correct(drift, number, x) for number, x in enumerate(later))]


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_channels_that_nothing_reads_are_those_that_go(config):
    module = random_module(config)
    narrow = narrow_config(module.config, NARROW)
    rng, power = np.random.default_rng(2), {}
    with torch.no_grad():
        for some in channels(module.config, narrow):
            inputs = len(module.get_parameter(f"{some.measured}.weight"))
            silent = torch.from_numpy(rng.permutation(inputs)[some.stay :])
            for reader, first in some.readers:
                module.get_parameter(f"{reader}.weight")[:, first + silent] = 0
            power[some.measured] = torch.ones(inputs)
        result = prune(module, narrow, power)
        assert result.config == narrow and (narrow.width, narrow.hidden) == (2, 4)
        for found, expected in zip(outputs(result), outputs(module), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_every_channel_inside_belongs_to_some(config):
    """With one channel of each kind left, no layer has a side that is neither one, nor of the outside."""
    least = replace(NARROW, width=1, hidden=1, rank=1)
    module = random_module(config)
    power = {
        some.measured: torch.ones(len(module.get_parameter(f"{some.measured}.weight")))
        for some in channels(module.config, module.config)
    }
    result = prune(module, narrow_config(module.config, least), power)
    outside = {1, 2, 3, *config.later, config.channels, config.channels + 1}
    for name, layer in result.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            assert {layer.in_channels, layer.out_channels} <= outside, name


def test_what_carries_more_stays():
    module = random_module(SHAPES["paper"])
    narrow = replace(module.config, hidden=5, folded=True)
    power = {
        some.measured: torch.full((len(module.get_parameter(f"{some.measured}.weight")),), 1.0)
        for some in channels(module.config, narrow)
    }
    power["drift.layers.1"][3] = 1e-9
    kept = prune(module, narrow, power).state_dict()["drift.layers.0.bias"]
    whole = module.state_dict()["drift.layers.0.bias"]
    assert torch.equal(kept, whole[[0, 1, 2, 4, 5]])


def test_nothing_gets_wider_than_it_was_and_rank_0_takes_the_corrections_away():
    config = SHAPES["angle"]
    asked = replace(NARROW, width=24, growth=3, hidden=4, rank=0)
    narrow = narrow_config(config, asked)
    assert (narrow.width, narrow.growth, narrow.hidden, narrow.later) == (4, 2, 4, ())
    module = random_module(config)
    power = {
        some.measured: torch.ones(len(module.get_parameter(f"{some.measured}.weight")))
        for some in channels(module.config, module.config)
    }
    assert not len(prune(module, narrow, power).later)


@pytest.fixture
def options(tmp_path, dedrifted, photos):
    """Two steps that begin with a narrowed module, which has width 4, depth 1, growth 2, hidden 64 and rank 4."""
    return TrainOptions(
        photos=(str(photos),),
        output=tmp_path / "narrow.safetensors",
        weights=str(dedrifted[1]),
        narrow=True,
        width=3,
        growth=1,
        hidden=6,
        rank=2,
        steps=2,
        validate_every=1,
        model=ModelOptions("test_resnet", dedrifted[0], "cpu", batch_size=2),
        workers=0,
    )


@pytest.mark.parametrize("estimator", ["paper", "angle"])
def test_a_run_begins_with_what_carries_most_and_can_be_interrupted(options, estimator, tmp_path):
    wide = load_checkpoint(tmp_path / "module.safetensors")
    module = random_module(replace(wide.module.config, estimator=estimator))
    save_checkpoint(Checkpoint(module, wide.tap, wide.backbone, wide.fingerprint), tmp_path / "module.safetensors")
    for _ in Training(options).steps():
        pass
    whole = load_checkpoint(tmp_path / "narrow.last.safetensors")
    config = whole.module.config
    assert (config.width, config.growth, config.hidden, config.rank) == (3, 1, 6, 2)
    assert (config.estimator, config.depth, config.folded) == (estimator, 1, True)
    stopped = replace(options, output=tmp_path / "stopped.safetensors")
    for _ in Training(stopped).steps():
        break
    for _ in Training(replace(stopped, resume=True)).steps():
        pass
    found = load_checkpoint(tmp_path / "stopped.last.safetensors").module.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in whole.module.state_dict().items())


def test_a_module_that_is_as_narrow_already_is_refused(options):
    with pytest.raises(WrongUse, match="no more channels than that already"):
        Training(replace(options, width=4, growth=2, hidden=64, rank=4))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "--narrow takes channels from a trained module. Give that with --weights"),
        ({"method": "ddp", "weights": "a.safetensors"}, "--narrow is for --method afd"),
        ({"weights": "auto", "depth": 1}, "--depth is for a new module"),
        ({"weights": "auto", "estimator": "paper"}, "--estimator is for a new module"),
        ({"weights": "auto", "tap": "stem"}, "--tap is for a new module"),
        ({"weights": "auto", "width": 8, "narrow": False}, "--width is for a new module.*Add --narrow"),
    ],
)
def test_what_cannot_be_narrowed_is_refused(given, sentence):
    with pytest.raises(WrongUse, match=sentence):
        TrainOptions(("photos",), **{"narrow": True, **given})
