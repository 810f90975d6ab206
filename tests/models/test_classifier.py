"""From pixels to probabilities, on the device asked for."""

import hashlib

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from afdcli.errors import BadCheckpoint, WrongUse
from afdcli.methods.remedy import Remedy
from afdcli.models.classifier import DedriftedClassifier, find_weights, load_classifier
from afdcli.options import DEFAULT_BACKBONE, ModelOptions

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.


@pytest.fixture(scope="session")
def classifier():
    return load_classifier(ModelOptions(device="cpu"))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


def in_0_to_1(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def test_forward_takes_rgb_in_0_to_1_and_gives_logits(classifier, pixels):
    with torch.inference_mode():
        logits = classifier(in_0_to_1(pixels))
    assert logits.shape == (3, 1000)
    assert logits.dtype == torch.float32


def test_top_is_the_softmax_of_forward(classifier, pixels):
    index, probability, _ = classifier.predict_topk(pixels, 5)
    with torch.inference_mode():
        shares, indices = classifier(in_0_to_1(pixels)).softmax(1).topk(5)
    assert index.tolist() == indices.tolist()
    np.testing.assert_allclose(probability, shares.numpy(), atol=1e-6)


def test_top_gives_indices_and_falling_probabilities(classifier, pixels):
    index, probability, _ = classifier.predict_topk(pixels, 1000)
    assert index.shape == probability.shape == (3, 1000)
    assert (np.diff(probability) <= 0).all()
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-4)
    assert [sorted(row) for row in index.tolist()] == [list(range(1000))] * 3


def test_each_image_of_a_batch_is_classified_by_itself(classifier, pixels):
    index, probability, _ = classifier.predict_topk(pixels, 5)
    for number in range(len(pixels)):
        one_index, one_probability, _ = classifier.predict_topk(pixels[number : number + 1], 5)
        assert one_index[0].tolist() == index[number].tolist()
        np.testing.assert_allclose(one_probability[0], probability[number], atol=1e-5)


@pytest.mark.slow
def test_where_memory_is_short_fewer_images_go_together_and_the_outcome_is_the_same(classifier, pixels, monkeypatch):
    many = np.concatenate([pixels, pixels[::-1], pixels])
    expected, predict, sizes = classifier.predict_topk(many, 3), classifier.predict, []

    def short_of_memory(images, quality):
        sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError
        return predict(images, quality)

    monkeypatch.setattr(classifier, "predict", short_of_memory)
    monkeypatch.setattr(classifier, "_together", classifier._together)
    for _ in range(2):
        found = classifier.predict_topk(many, 3)
        assert found[0].tolist() == expected[0].tolist()
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    assert sizes == [9, 4, 2, 2, 2, 2, 1, 2, 2, 2, 2, 1]
    monkeypatch.setattr(classifier, "predict", lambda *_: short_of_memory(many, None))
    with pytest.raises(torch.OutOfMemoryError):
        classifier.predict_topk(many, 3)


def test_the_classifier_is_in_evaluation_mode_and_frozen(classifier):
    assert not any(module.training for module in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_normalisation_is_the_backbones_and_is_not_stored(classifier):
    assert classifier.mean.flatten().tolist() == pytest.approx(classifier.backbone.mean)
    assert classifier.std.flatten().tolist() == pytest.approx(classifier.backbone.std)
    assert not {"mean", "std"} & classifier.state_dict().keys()


@pytest.mark.slow
def test_the_module_shipped_for_a_backbone_is_used_without_being_asked(classifier):
    assert load_classifier(ModelOptions(device="cpu"), "none").module is None
    dedrifted = load_classifier(ModelOptions(device="cpu"), "auto")
    assert dedrifted.module is not None and dedrifted.module.config.folded
    path = find_weights("auto", classifier.backbone)
    assert path == find_weights(str(path), classifier.backbone)
    assert dedrifted.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert classifier.weights_sha256 == "none"


@pytest.mark.slow
def test_auto_is_the_plain_backbone_where_none_is_shipped_or_its_weights_are_others(tmp_path):
    torch.manual_seed(0)
    for name in ("test_vit", DEFAULT_BACKBONE):
        save_file(timm.create_model(name, num_classes=3).state_dict(), tmp_path / "other.safetensors")
        options = ModelOptions(name, tmp_path / "other.safetensors", "cpu")
        assert load_classifier(options, "auto").module is None


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["afd", "module.safetensors", "", "None"])
def test_a_module_that_is_not_there_is_refused(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadCheckpoint, match=r"no file|cannot be read"):
        load_classifier(ModelOptions(), weights)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "cpu:x", "meta:banana", "xla"])
def test_a_device_that_is_not_here_is_refused_in_a_sentence(device):
    with pytest.raises(WrongUse, match="--device") as refusal:
        load_classifier(ModelOptions(device=device))
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_a_module_sees_features_and_images_and_changes_the_outcome(classifier, pixels):
    class Zero(Remedy):
        def mend(self, features, images, quality):
            assert images.shape == (3, 3, 224, 224)
            assert 0 <= images.min() <= images.max() <= 1
            return torch.zeros_like(features), torch.ones(3, 1, 1, 1)

        def correct(self, drift, number, x):
            assert drift.shape == (3, 1, 1, 1)
            return x

    with torch.inference_mode():
        logits = DedriftedClassifier(classifier.backbone, Zero()).eval()(in_0_to_1(pixels))
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits, classifier(in_0_to_1(pixels)))


def test_a_module_that_changes_nothing_changes_nothing(classifier, pixels):
    with torch.inference_mode():
        logits = DedriftedClassifier(classifier.backbone, Remedy()).eval()(in_0_to_1(pixels))
        torch.testing.assert_close(logits, classifier(in_0_to_1(pixels)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_same_classes(classifier, pixels):
    index, probability, _ = load_classifier(ModelOptions(device="cuda")).predict_topk(pixels, 5)
    on_cpu, on_cpu_probability, _ = classifier.predict_topk(pixels, 5)
    assert index.tolist() == on_cpu.tolist()
    np.testing.assert_allclose(probability, on_cpu_probability, atol=1e-3)
