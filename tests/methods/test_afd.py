from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import nn

from afdcli.methods.afd import AFDConfig, AFDModule, RepConv
from afdcli.methods.dct import ZIGZAG, BlockDCT, BlockLayer
from afdcli.options import TrainOptions


def test_zigzag_begins_as_in_the_jpeg_standard() -> None:
    assert ZIGZAG[:15] == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4]
    assert sorted(ZIGZAG) == list(range(64))


def test_block_dct_is_scipys_on_every_block() -> None:
    images = torch.rand(2, 3, 24, 16)
    coefficients = BlockDCT()(images).numpy()
    red, green, blue = images.double().numpy().transpose(1, 0, 2, 3)
    colours = [
        0.299 * red + 0.587 * green + 0.114 * blue - 0.5,
        -0.168736 * red - 0.331264 * green + 0.5 * blue,
        0.5 * red - 0.418688 * green - 0.081312 * blue,
    ]
    for number, colour in enumerate(colours):
        for row in range(3):
            for column in range(2):
                block = colour[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                expected = dctn(block, axes=(1, 2), norm="ortho").reshape(2, 64)[:, ZIGZAG]
                np.testing.assert_allclose(
                    coefficients[:, 64 * number : 64 * number + 64, row, column], expected, atol=1e-5
                )


def randomise(module: nn.Module, std: float = 1.0) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)  # biases too: at the border they are what goes wrong


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (9, 12)])
def test_repconv_is_the_sum_of_its_branches_folded_or_not_borders_included(size: tuple[int, int]) -> None:
    block = RepConv(4, 6).double()
    randomise(block)
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    branches = block.squeeze_first(x) + block.squeeze_last(x) + block.point(x)
    torch.testing.assert_close(block(x), branches, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(block.folded()(x), branches, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(block(x).square().sum(), block.squeeze_first[0].weight)
    (expected,) = torch.autograd.grad(branches.square().sum(), block.squeeze_first[0].weight)
    torch.testing.assert_close(gradient, expected)


def test_block_layer_folds_into_one_convolution_of_the_pixels() -> None:
    layer = BlockLayer(7)
    randomise(layer, 0.1)
    images = torch.rand(2, 3, 24, 16)
    torch.testing.assert_close(layer.folded()(images), layer(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("folded", [False, True])
def test_drift_map_continues_a_side_that_is_no_multiple_of_8(folded: bool) -> None:
    module = AFDModule(AFDConfig(8))
    module = module.folded() if folded else module
    images = torch.rand(1, 3, 11, 8)
    continued = torch.cat([images, images[:, :, -1:].expand(-1, -1, 5, -1)], 2)
    torch.testing.assert_close(module.drift(images, (4, 2)), module.drift(continued, (4, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        AFDConfig(24),
        AFDConfig(24, width=8, depth=3),
        AFDConfig(24, growth=1),
        AFDConfig(24, stride=2),
        AFDConfig(24, depth=0),
        AFDConfig(24, pooled=True),
    ],
)
def test_module_keeps_the_features_shape_at_any_size_and_learns_in_every_weight(config: AFDConfig) -> None:
    module = AFDModule(config)
    features, images = torch.randn(2, 24, 27, 31), torch.rand(2, 3, 107, 122)
    assert torch.equal(module(features, images), features), "an untrained module leaves the features alone"
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1)
    mended = module(features, images)
    assert mended.shape == features.shape
    mended.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())


def test_drift_map_is_between_0_and_1_and_follows_the_place() -> None:
    module = AFDModule(AFDConfig(8))
    images = torch.zeros(1, 3, 64, 64)
    images[..., 32:] = torch.rand(1, 3, 64, 32)
    drift = module.drift(images, (16, 16))
    assert drift.shape == (1, 1, 16, 16)
    assert drift.min() > 0 and drift.max() < 1
    assert drift[..., :6].std() < drift[..., 10:].std()


def test_later_layers_are_corrected_where_there_is_drift_and_left_alone_before_training() -> None:
    module = AFDModule(AFDConfig(8, later=(12, 0, 20), rank=4))
    drift = torch.zeros(1, 1, 8, 8)
    drift[..., 4:] = 1
    x = torch.randn(1, 12, 4, 4)
    assert torch.equal(module.correct(drift, 0, x), x)
    randomise(module)
    moved = (module.correct(drift, 0, x) - x).abs().sum((0, 1, 2))
    assert moved[:2].eq(0).all() and moved[2:].gt(0).all()
    wide = torch.randn(1, 20, 4, 4)
    assert not torch.equal(module.correct(drift, 1, wide), wide), "the next one, whatever layers are between them"
    assert torch.equal(module.correct(drift, 2, x), x), "a block that it knows nothing of"
    assert module.later[2][0].out_channels == 4
    pooled = torch.ones(1, 8, 1, 1)
    torch.testing.assert_close(module.correct(pooled, 0, x), x + module.later[0](x))


def test_pooled_drift_has_one_value_a_channel() -> None:
    assert AFDModule(AFDConfig(8, pooled=True)).drift(torch.rand(2, 3, 64, 64), (16, 16)).shape == (2, 8, 1, 1)


@pytest.mark.parametrize("folded", [False, True])
def test_module_comes_back_from_what_the_hub_would_hold(folded: bool, tmp_path: Path) -> None:
    module = AFDModule(AFDConfig(8, width=4, pooled=True))
    randomise(module, 0.1)
    module = module.folded() if folded else module
    module.save_pretrained(tmp_path)
    loaded = AFDModule.from_pretrained(tmp_path)
    assert loaded.config == module.config
    features, images = torch.randn(1, 8, 9, 9), torch.rand(1, 3, 33, 33)
    assert torch.equal(loaded(features, images), module(features, images))


def test_module_runs_in_bfloat16_and_channels_last() -> None:
    module = AFDModule(AFDConfig(8)).to(memory_format=torch.channels_last)
    features = torch.randn(1, 8, 14, 14).to(memory_format=torch.channels_last)
    images = torch.rand(1, 3, 56, 56)
    with torch.autocast("cpu", torch.bfloat16):
        mended = module(features, images)
    torch.testing.assert_close(mended.float(), module(features, images), rtol=0.1, atol=0.1)


def test_what_is_trained_has_the_shape_that_was_asked_for() -> None:
    shape = {"width": 12, "growth": 3, "depth": 1, "stride": 2, "hidden": 6, "rank": 5}
    asked = TrainOptions(("photos",), **shape, pooled=True, estimator="paper")
    module = AFDModule.build(asked, 8, (16, 0, 24))
    assert module.config == AFDConfig(8, **shape, pooled=True, later=(16, 0, 24))
    assert AFDModule.build(TrainOptions(("photos",)), 8, ()).config.estimator == "angle"
    assert AFDModule.build(TrainOptions(("photos",), rank=0), 8, (16,)).config.later == ()
