"""Images of another size than a network was trained with."""

import pytest
import torch

from afdcli.errors import UnsupportedBackbone
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import untrained_backbone
from afdcli.models.classifier import DedriftedClassifier
from afdcli.models.sizes import sized

torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_vit_relpos", "deit_tiny_patch16_224"])
@torch.no_grad()
def test_a_network_takes_another_size_and_has_the_weights_of_before(name):
    backbone = untrained_backbone(name)
    fed = sized(backbone, 192)
    assert fed.preprocessing.size == 192 and fed.fingerprint == backbone.fingerprint
    images = torch.rand(1, 3, 192, 192)
    plain, plugged = DedriftedClassifier(fed).eval(), DedriftedClassifier(fed, Remedy(), "auto").eval()
    assert torch.equal(plain(images), plugged(images))
    assert fed.tap("auto").place.image == (192, 192)
    assert not any(parameter.requires_grad for parameter in fed.model.parameters())


def test_without_a_size_nothing_changes():
    backbone = untrained_backbone("test_resnet")
    assert sized(backbone, 0) is backbone and sized(backbone, 160) is backbone


@pytest.mark.slow
def test_a_size_that_a_network_does_not_take_is_refused_in_a_sentence():
    with pytest.raises(UnsupportedBackbone, match=r"takes no images of 192 x 192.*Leave out --size") as refusal:
        sized(untrained_backbone("gmlp_ti16_224"), 192)
    assert "\n" not in str(refusal.value)
