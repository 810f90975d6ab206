from itertools import pairwise

import torch

from afdcli.methods.restore import ARCNN, ARCNNConfig


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
