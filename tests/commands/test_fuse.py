from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from afdcli.commands.fuse import fuse
from afdcli.errors import BadCheckpoint, OutputExists, OutputRefused, WrongUse
from afdcli.methods.afd import AFDModule
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import load_checkpoint
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import FuseOptions, ModelOptions

torch.set_num_threads(1)


@pytest.fixture
def options(tmp_path, dedrifted):
    """A module with random weights for a tiny random network, and two photos."""
    network, module = dedrifted
    (tmp_path / "photos").mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "photos" / "empty.png").touch()
    return FuseOptions(module, tmp_path / "out.safetensors", (str(tmp_path / "photos"),), network)


@pytest.mark.slow
def test_the_folded_module_is_smaller_and_the_same(options):
    fused = fuse(options)
    assert fused.difference < 1e-5 and fused.photos == 2
    assert fused.parameters[1] < fused.parameters[0] and fused.macs[1] < fused.macs[0]
    before, after = load_checkpoint(options.source), load_checkpoint(options.destination)
    assert after.module.config.folded and (after.tap, after.fingerprint) == (before.tap, before.fingerprint)
    assert fused.parameters[1] == sum(parameter.numel() for parameter in after.module.parameters())
    features, images = torch.randn(1, after.module.config.channels, 13, 17), torch.rand(1, 3, 52, 67)
    torch.testing.assert_close(after.module(features, images), before.module(features, images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_multiply_adds_are_those_counted_by_hand(tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), tmp_path / "network.safetensors")
    backbone = load_backbone("test_resnet", tmp_path / "network.safetensors")
    place = backbone.tap("stage1").place

    class Module(Remedy):
        layer = torch.nn.Conv2d(place.channels, place.channels, 3, padding=1)

        def mend(self, features, images, quality):
            return self.layer(features), None

    side = 160 // round(place.reduction)
    expected = side * side * place.channels * place.channels * 3 * 3
    assert DedriftedClassifier(backbone, Module(), "stage1").added_macs() == expected
    assert DedriftedClassifier(backbone).added_macs() == 0


@pytest.mark.slow
def test_a_fold_that_is_not_the_same_is_not_written(options, monkeypatch):
    folded = AFDModule.folded

    def wrong(module):
        copy = folded(module)
        copy.enhance.leave.bias.data += 0.1
        return copy

    monkeypatch.setattr(AFDModule, "folded", wrong)
    with pytest.raises(BadCheckpoint, match="Nothing was written"):
        fuse(options)
    assert not options.destination.exists()


@pytest.mark.slow
def test_a_folded_module_and_other_weights_of_the_backbone_are_refused(options, tmp_path):
    fuse(options)
    again = replace(options, destination=tmp_path / "again.safetensors")
    with pytest.raises(BadCheckpoint, match="nothing to fold"):
        fuse(replace(again, source=options.destination))
    other = tmp_path / "other.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), other)
    with pytest.raises(BadCheckpoint, match="other weights"):
        fuse(replace(again, backbone_checkpoint=other))


@pytest.mark.slow
def test_nothing_but_an_earlier_fold_is_replaced(options, tmp_path):
    fuse(options)
    with pytest.raises(OutputExists, match=r"finished result of afd fuse\. Add --overwrite"):
        fuse(options)
    fuse(replace(options, overwrite=True))
    before = options.source.read_bytes()
    with pytest.raises(OutputRefused, match="is read by this command"):
        fuse(replace(options, destination=options.source, overwrite=True))
    (tmp_path / "other.safetensors").write_bytes(before)  # of afd train
    with pytest.raises(OutputRefused, match="is not from afd fuse"):
        fuse(replace(options, destination=tmp_path / "other.safetensors", overwrite=True))
    with pytest.raises(OutputRefused, match=r"network\.safetensors' is read by this command"):
        fuse(replace(options, destination=options.backbone_checkpoint, overwrite=True))
    assert options.source.read_bytes() == (tmp_path / "other.safetensors").read_bytes() == before


@pytest.mark.slow
def test_without_photos_or_a_folder_to_write_to_nothing_is_done(options, tmp_path):
    with pytest.raises(WrongUse, match="can be read"):
        fuse(replace(options, photos=(str(tmp_path / "photos" / "empty.png"),)))
    with pytest.raises(OutputRefused, match="no folder"):
        fuse(replace(options, destination=tmp_path / "missing" / "out.safetensors"))


@pytest.mark.slow
def test_classify_uses_a_module_from_a_file(options, tmp_path):
    from afdcli.models.classifier import load_classifier

    fuse(options)
    model = ModelOptions("test_resnet", options.backbone_checkpoint, "cpu")
    images = torch.rand(2, 3, 160, 160)
    with torch.inference_mode():
        plain, unfused, fused = (
            load_classifier(model, str(weights))(images) for weights in ("none", options.source, options.destination)
        )
        drift = load_classifier(model, str(options.source)).predict(images)[1]
    assert drift.shape == (2,) and (drift > 0).all() and (drift < 1).all()
    assert not torch.allclose(plain, fused, atol=1e-3)
    torch.testing.assert_close(unfused, fused, rtol=1e-4, atol=1e-4)
