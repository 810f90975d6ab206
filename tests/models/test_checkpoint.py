import json
import pickle
from dataclasses import replace

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from afdcli.errors import BadCheckpoint, OutputRefused, UnsupportedBackbone
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import Backbone, load_backbone
from afdcli.models.checkpoint import Checkpoint, check_backbone, load_checkpoint, save_checkpoint
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import TAPS
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

pytestmark = pytest.mark.slow

BACKBONES = [
    "resnet18",
    "resnet50",
    "repvgg_a2",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "efficientnet_lite0",
    *(f"tf_efficientnet_lite{size}" for size in range(5)),
    "efficientnet_b0",
    "convnext_tiny",
    "vit_small_patch16_224",
    "deit_small_patch16_224",
]


def backbone_of(name):
    torch.manual_seed(0)
    model = timm.create_model(name).eval().requires_grad_(False)
    size = model.pretrained_cfg["input_size"][-1]
    return Backbone(name, model, Preprocessing(size), (0.5,) * 3, (0.5,) * 3, Labels(()), "f" * 64)


def module_of(channels, **config):
    module = AFDModule(AFDConfig(channels, width=4, depth=1, **config))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return module.eval()


@pytest.fixture
def written(tmp_path):
    """A checkpoint and its path."""
    checkpoint = Checkpoint(module_of(8), "stage1", "resnet18", "f" * 64)
    save_checkpoint(checkpoint, tmp_path / "m.safetensors")
    return checkpoint, tmp_path / "m.safetensors"


def test_a_full_disk_is_a_sentence_and_what_was_there_stays(written, no_room):
    checkpoint, path = written
    before = path.read_bytes()
    with pytest.raises(OutputRefused, match=r"m\.safetensors' cannot be written: .*Mend that"), no_room():
        save_checkpoint(checkpoint, path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_plugs_trains_folds_saves_and_loads(name, tmp_path):
    backbone = backbone_of(name)
    images = torch.rand(1, 3, backbone.preprocessing.size, backbone.preprocessing.size)
    with torch.inference_mode():
        expected = backbone.model((images - 0.5) / 0.5)
    before = {key: value.clone() for key, value in backbone.model.state_dict().items()}
    for tap in TAPS:
        try:
            place = backbone.tap(tap).place
        except UnsupportedBackbone as error:
            assert "vit" in name or "deit" in name
            assert "Taps that it has: stem (patch_embed)" in str(error) and tap != "stem"
            continue
        classifier = DedriftedClassifier(backbone, Remedy(), tap).eval()
        with torch.inference_mode():
            assert torch.equal(classifier(images), expected)
            features = classifier.features(images)
        assert features.shape[1] == place.channels
        assert images.shape[-1] / features.shape[-1] == place.reduction
    found = backbone.tap("stem")
    module = module_of(found.place.channels, later=found.widths, rank=4)
    classifier = DedriftedClassifier(backbone, module, "stem").eval()
    optimizer = torch.optim.SGD(module.parameters(), 1e-3)
    classifier(images).square().mean().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in backbone.model.state_dict().items())

    path = tmp_path / "folded.safetensors"
    save_checkpoint(Checkpoint(module.folded(), "stem", name, backbone.fingerprint), path)
    loaded = load_checkpoint(path)
    check_backbone(loaded, backbone, path)
    assert loaded.module.config.folded
    with torch.inference_mode():
        mended = DedriftedClassifier(backbone, loaded.module, loaded.tap).eval()(images)
        torch.testing.assert_close(mended, classifier(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("folded", [False, True])
def test_a_module_comes_back_as_it_was(folded, tmp_path):
    module = module_of(8, pooled=True).folded() if folded else module_of(8, pooled=True)
    save_checkpoint(Checkpoint(module, "stage2", "resnet18", "f" * 64), tmp_path / "m.safetensors")
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert (loaded.tap, loaded.backbone, loaded.module.config) == ("stage2", "resnet18", module.config)
    features, images = torch.randn(1, 8, 9, 9), torch.rand(1, 3, 33, 33)
    torch.testing.assert_close(loaded.module(features, images), module(features, images), rtol=0, atol=0)


def test_a_checkpoint_of_another_backbone_is_refused(written):
    checkpoint, path = written
    backbone = backbone_of("resnet18")
    check_backbone(checkpoint, backbone, path)
    with pytest.raises(BadCheckpoint, match="is for resnet18, not resnet50"):
        check_backbone(checkpoint, replace(backbone, name="resnet50"), path)
    with pytest.raises(BadCheckpoint, match="other weights"):
        check_backbone(checkpoint, replace(backbone, fingerprint="0" * 64), path)


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_refused(written, kept):
    _, path = written
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        load_checkpoint(path)


def test_a_missing_or_foreign_checkpoint_is_refused(tmp_path):
    with pytest.raises(BadCheckpoint, match="no file"):
        load_checkpoint(tmp_path / "missing.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(BadCheckpoint, match="no module of afd"):
        load_checkpoint(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"config": "{}"},
        {"config": "no json"},
        {"config": json.dumps({"channels": 9, "width": 4, "depth": 1})},
        {"config": json.dumps({"channels": 8, "danger": 1})},
        {"config": json.dumps({"channels": 8, "width": 4, "depth": 1, "folded": True})},
    ],
)
def test_a_tampered_checkpoint_is_refused(written, change):
    _, path = written
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, {**metadata, **change})
    with pytest.raises(BadCheckpoint, match="changed or is damaged"):
        load_checkpoint(path)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadCheckpoint):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_module_or_backbone_that_is_no_number_is_refused_with_its_tensor(written, tmp_path, value):
    _, path = written
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["enhance.enter.1.weight"][2] = value
    save_file(tensors, path, metadata)
    with pytest.raises(BadCheckpoint, match=r"enhance\.enter\.1\.weight"):
        load_checkpoint(path)

    state = timm.create_model("test_resnet", num_classes=8).state_dict()
    state["fc.weight"][1, 5] = value
    save_file(state, tmp_path / "network.safetensors")
    torch.save(state, tmp_path / "network.pth")
    for name in ("network.safetensors", "network.pth"):
        with pytest.raises(BadCheckpoint, match=r"fc\.weight"):
            load_backbone("test_resnet", tmp_path / name)


def test_what_is_too_large_for_the_network_is_refused_as_well(tmp_path):
    state = timm.create_model("test_resnet", num_classes=8).state_dict()
    state["fc.bias"] = torch.full((8,), 1e300, dtype=torch.float64)
    save_file(state, tmp_path / "network.safetensors")
    with pytest.raises(BadCheckpoint, match=r"fc\.bias"):
        load_backbone("test_resnet", tmp_path / "network.safetensors")
