"""The estimate that measures: against scipy's DCT, and on what a user gives it."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from torch import nn
from torch.nn import functional as F

from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.methods.dct import SMALL, ZIGZAG, SmallShares
from afdcli.methods.distances import angle_error, feature_angle
from afdcli.methods.drift import AngleEstimator, corrected_share
from afdcli.models.checkpoint import FORMAT, load_checkpoint
from afdcli.models.tensor_files import write_tensors


def randomise(module: nn.Module, std: float = 1.0) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def images_of(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_shares_are_counted_as_scipy_would_in_every_second_block() -> None:
    pixels = np.random.default_rng(0).integers(100, 140, (24, 40, 3), dtype=np.uint8)
    red, green, blue = pixels.astype(float).transpose(2, 0, 1)
    colours = (
        (0.299 * red + 0.587 * green + 0.114 * blue - 127.5, 64),
        (-0.168736 * red - 0.331264 * green + 0.5 * blue, 10),
        (0.5 * red - 0.418688 * green - 0.081312 * blue, 10),
    )
    blocks = [(row, column) for row in (0, 16) for column in (0, 16, 32)]
    sizes = np.array(
        [
            np.concatenate(
                [
                    np.abs(dctn(colour[row : row + 8, column : column + 8], norm="ortho")).ravel()[ZIGZAG][:count]
                    for colour, count in colours
                ]
            )
            for row, column in blocks
        ]
    )
    expected = [np.clip((limit - sizes) / limit + 0.5, 0, 1).mean(0) for limit in SMALL]
    found = SmallShares()(images_of(pixels))[0]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=2e-3)


def test_compression_makes_more_coefficients_small() -> None:
    smooth = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8))
    pixels = np.asarray(smooth.resize((64, 64), Image.Resampling.BICUBIC))
    shares = [float(SmallShares()(images_of(jpeg(pixels, quality)))[0, :64].mean()) for quality in (95, 60, 10)]
    assert shares == sorted(shares) and shares[0] < shares[-1]


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (8, 8), (107, 122)])
def test_any_size_of_image_and_map_is_estimated_in_degrees(size: tuple[int, int]) -> None:
    estimator = AngleEstimator(6, 4)
    randomise(estimator)
    features = torch.cat([torch.zeros(1, 6, 5, 9), 1e4 * torch.randn(1, 6, 5, 9)])
    angle = estimator(features, torch.rand(2, 3, *size))
    assert angle.shape == (2, 1, 5, 9)
    assert angle.isfinite().all() and angle.min() >= 0 and angle.max() <= 120


def test_a_photo_is_estimated_alike_in_any_company() -> None:
    estimator = AngleEstimator(6, 4)
    randomise(estimator, 0.3)
    features, images = torch.randn(3, 6, 7, 7), torch.rand(3, 3, 56, 56)
    alone = torch.cat([estimator(features[i : i + 1], images[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(estimator(features, images), alone)


def test_half_precision_does_not_reach_the_coefficients() -> None:
    images = images_of(jpeg(np.random.default_rng(2).integers(0, 256, (48, 48, 3), dtype=np.uint8), 90))
    with torch.autocast("cpu", torch.bfloat16):
        halved = SmallShares()(images)
    assert torch.equal(halved, SmallShares()(images))


def test_nothing_is_added_where_nothing_is_lost_and_all_where_much_is() -> None:
    angle = torch.tensor([0.0, 10.0, 17.5, 25.0, 110.0], requires_grad=True)
    share = corrected_share(angle)
    torch.testing.assert_close(share, torch.tensor([0, 0, 0.5, 1, 1]))
    assert not share.requires_grad


def test_only_the_truth_teaches_the_estimate() -> None:
    module = AFDModule(AFDConfig(6, width=4, depth=1, hidden=4, estimator="angle"))
    randomise(module, 0.3)
    features, images = torch.randn(2, 6, 8, 8), torch.rand(2, 3, 64, 64)
    mended, drift = module.mend(features, images)
    mended.square().sum().backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in module.drift.parameters())
    module.zero_grad()
    angle_error(drift, features, torch.randn(2, 6, 8, 8)).backward()
    assert all(parameter.grad is not None for parameter in module.drift.parameters())
    assert all(parameter.grad is None for parameter in module.enhance.parameters())


def test_the_error_is_of_degrees_at_each_place() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 1.0]]).T[None, :, None]  # at 0 and at 45 degrees
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).T[None, :, None]
    true = feature_angle(features, target)[:, None]
    assert angle_error(true, features, target) < 1e-6
    expected = F.smooth_l1_loss(torch.tensor([0.5, 0.0]), torch.zeros(2), beta=0.3)
    torch.testing.assert_close(angle_error(true + torch.tensor([45.0, 0.0]), features, target), expected)


def test_a_file_of_before_keeps_the_papers_estimate(tmp_path: Path) -> None:
    module = AFDModule(AFDConfig(6, width=4, depth=1, hidden=4))
    path = tmp_path / "old.safetensors"
    config = {name: value for name, value in asdict(module.config).items() if name != "estimator"}
    names = {"format": FORMAT, "method": "afd", "tap": "stem", "backbone": "test_resnet", "fingerprint": "0"}
    write_tensors(path, module.state_dict(), {**names, "config": json.dumps(config)})
    loaded = load_checkpoint(path).module
    features, images = torch.randn(1, 6, 8, 8), torch.rand(1, 3, 64, 64)
    assert torch.equal(loaded.drift(images, (8, 8)), module.drift(images, (8, 8)))
    assert torch.equal(loaded(features, images), module(features, images))


def test_the_papers_map_may_say_how_much_is_added_where_something_is_lost() -> None:
    module = AFDModule(AFDConfig(6, width=4, depth=1, hidden=4, estimator="angle", sized=5, later=(6,), rank=3))
    randomise(module, 0.3)
    features, images = torch.randn(2, 6, 8, 8), torch.rand(2, 3, 64, 64)
    mended, drift = module.mend(features, images)
    angle, size = module.drift(features, images), module.size(images, (8, 8))
    assert torch.equal(module.drift_of(drift), angle[:, 0])
    share = ((angle - 10) / 15).clamp(0, 1) * size
    torch.testing.assert_close(mended, features + share * module.enhance(features))
    torch.testing.assert_close(module.correct(drift, 0, features), features + share * module.later[0](features))


@pytest.mark.slow
@pytest.mark.parametrize("sized", [0, 5])
@pytest.mark.parametrize("size", [64, 57])
def test_folded_and_exported_it_is_the_same(size: int, sized: int) -> None:
    module = AFDModule(AFDConfig(6, width=4, depth=1, hidden=4, estimator="angle", sized=sized, later=(6,), rank=3))
    randomise(module, 0.3)
    features, images = torch.randn(2, 6, 8, 8), torch.rand(2, 3, size, size)
    expected, drift = module.mend(features, images)
    folded = module.folded()
    torch.testing.assert_close(folded.mend(features, images), (expected, drift), rtol=1e-4, atol=1e-4)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(folded, (features, images), dynamic_shapes=({0: batch}, {0: batch}))
    torch.testing.assert_close(program.module()(features, images), expected, rtol=1e-4, atol=1e-4)
