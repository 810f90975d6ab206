"""Looks at how far a training is, against the classifier itself."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from afdcli.commands.train import Training
from afdcli.models.checkpoint import load_checkpoint
from afdcli.models.classifier import DedriftedClassifier
from afdcli.options import ModelOptions, TrainOptions
from afdcli.training import glances
from afdcli.training.glances import LATEST, Glances, pays
from afdcli.training.learner import trained


@pytest.fixture
def options(photos, tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = tmp_path / "network.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), network)
    model = ModelOptions("test_resnet", network, "cpu", batch_size=2)
    output = tmp_path / "module.safetensors"
    return TrainOptions((str(photos),), output, width=4, depth=1, steps=4, model=model, workers=0, validate_every=3)


def test_a_look_comes_when_it_is_time_and_keeps_the_module_and_what_is_gone_on_from(options, monkeypatch):
    monkeypatch.setattr(glances, "EVERY", 0.0)
    monkeypatch.setattr(glances, "SHARE", 1e9)
    training = Training(options)
    for step in training.steps():
        assert (step.glance is None) == (step.validation is not None) == (step.number in (3, 4))
        assert training.saved == step.number
        kept = load_checkpoint(training.last).module.state_dict()
        assert all(
            torch.equal(value, kept[name]) for name, value in training.learner.average.module.state_dict().items()
        )


def test_no_look_comes_before_its_time(options):
    assert all(step.glance is None for step in Training(options).steps())


def test_a_module_that_changes_nothing_wins_nothing_back(options, monkeypatch):
    monkeypatch.setattr(glances, "EVERY", 0.0)
    training = Training(options)
    for parameter in trained(training.learner.average).values():
        parameter.data.zero_()
    glance = Glances(training.held_out, training.learner, options.read).look()
    assert glance.nearer == pytest.approx(0, abs=1e-3) and glance.classes in (0, None) and glance.pays


def test_the_untouched_classifier_of_the_originals_would_win_all_back(options, monkeypatch):
    """Looked at is the average: in its place, something that gives the originals' logits."""
    monkeypatch.setattr(glances, "EVERY", 0.0)
    training = Training(options)
    looks = Glances(training.held_out, training.learner, options.read)
    seen = looks._first()
    looks._seen = seen
    training.learner.average.predict = lambda images, quality: (seen.plain, None)
    assert looks.look().nearer == pytest.approx(100, abs=1e-3)
    plain = DedriftedClassifier(training.backbone).eval()
    path = training.held_out[0]
    with Image.open(path) as image:
        pixels = np.array(training.backbone.preprocessing(image.convert("RGB")))
    with torch.inference_mode():
        torch.testing.assert_close(seen.plain[:1], plain(plain.to_tensor(pixels[None])))


def test_photos_that_have_gone_are_left_out_and_without_any_there_is_no_look(options, monkeypatch):
    monkeypatch.setattr(glances, "EVERY", 0.0)
    training = Training(options)
    looks = Glances(("gone.jpg", *training.held_out), training.learner, options.read)
    assert looks.look() is not None and len(looks._seen.damaged) == len(training.held_out)
    assert Glances(("gone.jpg",), training.learner, options.read).look() is None


def looks(means, noise=0.1, photos=50):
    rng = np.random.default_rng(0)
    return [mean + noise * rng.standard_normal(photos) for mean in means]


def test_more_time_pays_while_looks_get_better_by_more_than_their_noise():
    assert pays(looks([1.0] * (2 * LATEST - 1)))  # too few to tell
    assert pays(looks(np.linspace(2, 1, 2 * LATEST)))
    assert not pays(looks([1.0] * 2 * LATEST, noise=0.0))
    assert not pays(looks(np.linspace(1, 2, 2 * LATEST)))
    assert not pays(looks([*np.linspace(2, 1, 10), *[1.0] * LATEST, *[1.001] * LATEST]))
