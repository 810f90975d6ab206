from pathlib import Path

import numpy as np
import pytest
import torch

from afdcli.methods.distances import divergence, relative_error
from afdcli.methods.fct import FCTConfig, FCTModule
from afdcli.methods.remedy import Batch, Outputs
from afdcli.models.backbones import load_backbone
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import DEFAULT_BACKBONE, Compression, ReadOptions
from afdcli.photos.damage import decode, encode
from afdcli.photos.reading import read_rgb

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


def module_of(channels: int = 4, width: int = 8) -> FCTModule:
    torch.manual_seed(0)
    module = FCTModule(FCTConfig(channels, width))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return module


def test_an_untrained_block_changes_nothing_at_any_quality() -> None:
    features, images = torch.randn(2, 4, 7, 9), torch.rand(2, 3, 28, 36)
    module = FCTModule(FCTConfig(4))
    for quality in (None, torch.tensor([10.0, 90.0])):
        assert torch.equal(module.mend(features, images, quality)[0], features)


def test_to_what_is_undamaged_nothing_is_added() -> None:
    features = torch.randn(1, 4, 7, 9)
    assert torch.equal(module_of().mend(features, torch.rand(1, 3, 28, 36), torch.tensor([100.0]))[0], features)


def test_what_is_added_depends_on_the_quality_told() -> None:
    module, features, images = module_of(), torch.randn(1, 4, 7, 9), torch.rand(1, 3, 28, 36)
    low, high = (module.mend(features, images, torch.tensor([quality]))[0] for quality in (10.0, 90.0))
    assert not torch.allclose(low, high, atol=1e-3)


def test_a_quality_that_is_not_known_is_estimated_and_one_that_is_known_is_not() -> None:
    module, features, images = module_of().requires_grad_(False), torch.randn(2, 4, 7, 9), torch.rand(2, 3, 28, 36)
    estimated = module.estimate(images)
    assert ((estimated > 0) & (estimated < 100)).all()
    expected = module.mend(features, images, torch.tensor([float(estimated[0]), 30.0]))[0]
    torch.testing.assert_close(module.mend(features, images, torch.tensor([torch.nan, 30.0]))[0], expected)
    every = module.mend(features, images, estimated)[0]
    torch.testing.assert_close(module.mend(features, images)[0], every)


@pytest.mark.slow
def test_on_real_photos_the_wrong_quality_makes_predictions_worse() -> None:
    torch.manual_seed(0)
    backbone = load_backbone(DEFAULT_BACKBONE)
    block = FCTModule(FCTConfig(backbone.tap("stage2").place.channels, width=16))
    network = DedriftedClassifier(backbone, block, "stage2").eval()
    names = ("lemur.jpg", "red-panda.jpg", "bison-sideways.jpg", "tabby-cat.png")
    crops = [backbone.preprocessing(read_rgb(str(PHOTOS / name), ReadOptions()).image) for name in names]
    damaged = [decode(encode(crop, Compression("jpeg", quality))) for quality in (5, 80) for crop in crops]
    originals, images = (
        network.to_tensor(np.stack([np.asarray(one) for one in many])) for many in (2 * crops, damaged)
    )
    quality = torch.tensor([5.0, 80.0]).repeat_interleave(len(names))
    with torch.no_grad():
        target, features = network.features(originals), network.features(images)
        plain = DedriftedClassifier(backbone).eval()
        expected = plain(originals)
    optimizer = torch.optim.Adam(block.mapping.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        relative_error(block.mend(features, images, quality)[0], target).backward()
        optimizer.step()
    with torch.no_grad():
        right, wrong = (divergence(network.predict(images, told)[0], expected) for told in (quality, quality.flip(0)))
        without = divergence(plain(images), expected)
    assert 1.1 * right < min(wrong, without)


def test_without_the_block_the_features_are_left_alone() -> None:
    features = torch.randn(1, 4, 7, 9)
    module = module_of(width=0)
    assert module.mend(features, torch.rand(1, 3, 28, 36))[0] is features
    assert not module.uses_quality and not [*module.parameters()]


def test_losses_tell_the_student_what_is_known_and_count_only_that() -> None:
    told: list[list[float]] = []

    class Echo:
        def outputs(self, images: torch.Tensor, quality: torch.Tensor | None = None) -> Outputs:
            if quality is not None:
                told.append(quality.tolist())
            return Outputs(images, images, [images], images.flatten(1))

    module, images = module_of(), torch.rand(3, 3, 16, 16)
    losses = module.losses(Echo(), Echo(), Batch(images, images, torch.tensor([20.0, torch.nan, 100.0])))
    assert told[0] == [100.0, 100.0, 100.0]
    assert told[1][0] == 20.0 and told[1][1] != told[1][1]
    assert losses["feature"] == losses["stage"] == losses["logit"] == 0
    estimated = module.estimate(images)
    expected = ((estimated[0] - 20).abs() + (estimated[2] - 100).abs()) / 200
    torch.testing.assert_close(losses["quality"], expected)
