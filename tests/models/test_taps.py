"""A backbone cut in two is the same network, wherever it is cut."""

import pytest
import torch

from afdcli.models.backbones import load_backbone
from afdcli.models.taps import split
from afdcli.options import TAPS

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
NAME = "tf_efficientnet_lite0"


@pytest.mark.slow
@pytest.mark.parametrize("tap", TAPS)
def test_a_cut_backbone_is_the_same_network(tap):
    backbone = load_backbone(NAME)
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        cut = split(backbone, tap)
        features = cut.stem(images)
        assert features.shape == (2, cut.channels, 224 // cut.reduction, 224 // cut.reduction)
        torch.testing.assert_close(cut.tail(features), backbone.model(images))
