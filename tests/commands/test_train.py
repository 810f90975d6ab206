import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from afdcli.commands.classify import Classification
from afdcli.commands.train import Training
from afdcli.errors import (
    BadCheckpoint,
    OutputExists,
    OutputRefused,
    TrainingStopped,
    UnreadableImage,
    UnsupportedBackbone,
    WrongUse,
)
from afdcli.methods import METHODS
from afdcli.models.checkpoint import load_checkpoint
from afdcli.models.classifier import load_classifier
from afdcli.options import ClassifyOptions, ModelOptions, TrainOptions
from afdcli.photos import damage
from afdcli.training.learner import Learner
from afdcli.training.pairs import make_pair

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A run of four steps on a few photos and a tiny random network, in this process."""
    folder = tmp_path_factory.mktemp("training")
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((200, 150)).save(folder / f"{number}.png")
    torch.manual_seed(0)
    network = folder / "network.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), network)
    return TrainOptions(
        photos=(str(folder),),
        output=folder / "module.safetensors",
        width=4,
        depth=1,
        steps=4,
        validate_every=2,
        model=ModelOptions("test_resnet", network, "cpu", batch_size=2),
        workers=0,
    )


def going_on(options, weights):
    return replace(options, weights=str(weights), width=TrainOptions.width, depth=TrainOptions.depth)


def run(options):
    training = Training(options)
    return training, list(training.steps())


def test_training_lowers_the_loss_and_leaves_the_backbone_alone(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors", steps=40, validate_every=40, clean_share=0.0)
    training, steps = run(options)
    losses = [step.losses["loss"] for step in steps]
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    after = training.backbone.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in load_file(options.model.backbone_checkpoint).items())


def test_an_interrupted_run_ends_in_the_same_weights(options, tmp_path):
    whole, stopped = (replace(options, output=tmp_path / f"{name}.safetensors") for name in ("whole", "stopped"))
    run(whole)
    for step in Training(stopped).steps():
        if step.number == 3:
            break
    _, steps = run(replace(stopped, resume=True))
    assert [step.number for step in steps] == [3, 4]
    for name in ("whole.safetensors", "whole.state.safetensors"):
        expected, found = load_file(tmp_path / name), load_file(tmp_path / name.replace("whole", "stopped"))
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[key], found[key]) for key in expected)
    last = load_file(tmp_path / "whole.last.safetensors")
    state = load_file(tmp_path / "whole.state.safetensors")
    assert all(torch.equal(value, state[f"average.module.{name}"]) for name, value in last.items())


def test_the_log_has_a_row_for_every_step_also_after_an_interruption(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors")
    for step in Training(options).steps():
        if step.number == 3:
            break
    with pytest.raises(OutputRefused, match="interrupted run"):
        Training(options)
    training, _ = run(replace(options, resume=True))
    assert training.done == 4
    with training.log_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row["loss"]) > 0 for row in rows)
    assert [bool(row["divergence"]) for row in rows] == [False, True, False, True]


def test_a_run_stopped_at_once_can_be_gone_on_with(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors")
    steps = Training(options).steps()
    next(steps)
    steps.close()
    _, steps = run(replace(options, resume=True))
    assert [step.number for step in steps] == [1, 2, 3, 4]


def test_few_photos_are_held_out_of_many(options, tmp_path):
    for number in range(300):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.jpg")
    training = Training(replace(options, photos=(str(tmp_path),), output=tmp_path / "m.safetensors"))
    (part,) = training.mixture
    assert len(training.held_out) == 30 and len(part.photos) == 270
    assert not set(training.held_out) & set(part.photos)


def test_training_in_bfloat16_keeps_weights_in_float32(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors", model=replace(options.model, precision="bfloat16"))
    _, steps = run(options)
    assert all(np.isfinite(step.losses["loss"]) for step in steps)
    assert {value.dtype for value in load_file(options.output).values()} == {torch.float32}


def test_other_options_or_nothing_to_go_on_from_are_refused(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors")
    with pytest.raises(BadCheckpoint, match="Start without --resume"):
        Training(replace(options, resume=True))
    run(options)
    with pytest.raises(BadCheckpoint, match="other options"):
        Training(replace(options, resume=True, learning_rate=0.5))


def test_what_was_trained_is_for_that_backbone(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors")
    training, _ = run(options)
    checkpoint = load_checkpoint(options.output)
    assert (checkpoint.backbone, checkpoint.tap) == ("test_resnet", "stage2")
    assert checkpoint.fingerprint == training.backbone.fingerprint
    assert not checkpoint.module.config.folded


def test_one_photo_is_too_few(options, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "only.png")
    with pytest.raises(WrongUse, match="at least two"):
        Training(replace(options, photos=(str(tmp_path),)))


def test_a_run_with_shares_ends_in_the_same_weights_when_it_was_interrupted(options, tmp_path):
    (tmp_path / "more").mkdir()
    for number in range(4):
        Image.new("RGB", (160, 160), (40 * number, 90, 10)).save(tmp_path / "more" / f"{number}.png")
    options = replace(options, photos=(*options.photos, str(tmp_path / "more")), shares=(3.0, 1.0), least_crop=100)
    whole, stopped = (replace(options, output=tmp_path / f"{name}.safetensors") for name in ("whole", "stopped"))
    run(whole)
    for step in Training(stopped).steps():
        if step.number == 3:
            break
    run(replace(stopped, resume=True))
    expected, found = (load_file(tmp_path / f"{name}.last.safetensors") for name in ("whole", "stopped"))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_the_estimate_alone_is_trained_where_nothing_else_has_weight(options, tmp_path):
    begun = tmp_path / "begun.safetensors"
    run(replace(options, output=begun, steps=2))
    alone = {"feature_weight": 0.0, "stage_weight": 0.0, "logit_weight": 0.0}
    run(replace(going_on(options, begun), output=tmp_path / "m.safetensors", **alone))
    before, after = load_file(begun), load_file(tmp_path / "m.last.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("drift.") for name in changed)


def test_photos_that_cannot_be_read_end_it_in_a_sentence(options, tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.jpg").touch()
    with pytest.raises(WrongUse, match="that can be read"):
        run(replace(options, photos=(str(tmp_path),), output=tmp_path / "m.safetensors"))
    assert not list(tmp_path.glob("m*")), "refused before anything is written"


def test_a_tap_that_does_not_exist_is_refused(options):
    with pytest.raises(UnsupportedBackbone, match="'stage9'"):
        Training(replace(options, tap="stage9"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_resumes_saves_and_classifies(options, tmp_path, method):
    options = replace(options, method=method, learning_rate=1e-3)
    whole, stopped = (replace(options, output=tmp_path / f"{name}.safetensors") for name in ("whole", "stopped"))
    training, steps = run(whole)
    assert all(np.isfinite(step.losses["loss"]) for step in steps)
    before = load_file(options.model.backbone_checkpoint)
    assert all(torch.equal(value, before[name]) for name, value in training.backbone.model.state_dict().items())
    for step in Training(stopped).steps():
        if step.number == 2:
            break
    run(replace(stopped, resume=True))
    expected, found = load_file(whole.output), load_file(stopped.output)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    with torch.inference_mode():
        images = torch.rand(1, 3, 160, 160)
        plain = load_classifier(options.model, "none").predict(images)[0]
        remedied, drift = load_classifier(options.model, str(tmp_path / "whole.last.safetensors")).predict(images)
        assert not torch.equal(plain, remedied)
        torch.testing.assert_close(remedied, training.learner.average(images), rtol=1e-4, atol=1e-4)
    assert (drift is not None) == METHODS[method].estimates_drift


@pytest.mark.parametrize("method", ["afd", "fct"])
def test_it_goes_on_from_a_module_as_it_is(options, tmp_path, method):
    first = replace(options, method=method, output=tmp_path / "first.safetensors", learning_rate=1e-2)
    run(first)
    second = replace(going_on(first, first.output), output=tmp_path / "second.safetensors")
    training = Training(second)
    with torch.inference_mode():
        images = torch.rand(1, 3, 160, 160)
        expected = load_classifier(options.model, second.weights).predict(images)[0]
        torch.testing.assert_close(training.learner.average.predict(images)[0], expected, rtol=1e-4, atol=1e-4)
        plain = load_classifier(options.model).predict(images)[0]
        torch.testing.assert_close(training.learner.teacher.predict(images)[0], plain)
    list(training.steps())
    before, after = load_checkpoint(first.output), load_checkpoint(second.output)
    assert (after.tap, after.module.config) == (before.tap, before.module.config)
    weights = after.module.state_dict()
    assert any(not torch.equal(value, weights[name]) for name, value in before.module.state_dict().items())


def test_a_finished_module_is_replaced_only_if_told(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors", steps=1, validate_every=1)
    run(options)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = replace(options, seed=2)
    with pytest.raises(OutputExists, match="--overwrite"):
        Training(again)
    for name in ("m.csv", "m.csv.json", "m.state.safetensors", "m.last.safetensors"):  # not even a part of it
        (tmp_path / name).unlink()
        with pytest.raises(OutputExists, match="--overwrite"):
            Training(again)
    assert all(path.read_bytes() == before[path] for path in tmp_path.iterdir())
    run(replace(again, overwrite=True))
    assert options.output.read_bytes() != before[options.output]


@pytest.mark.parametrize("name", ["m.safetensors", "m.last.safetensors"])
def test_the_module_to_go_on_from_is_not_replaced(options, tmp_path, name):
    first = replace(options, output=tmp_path / "m.safetensors", steps=1, validate_every=1)
    run(first)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputRefused, match="is read by this command"):
        Training(replace(going_on(first, tmp_path / name), overwrite=True))
    network = options.model.backbone_checkpoint
    with pytest.raises(OutputRefused, match="is read by this command"):
        Training(replace(first, output=network, overwrite=True))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_module_that_does_not_fit_is_not_gone_on_from(options, tmp_path):
    first = replace(options, output=tmp_path / "first.safetensors")
    run(first)
    second = replace(going_on(first, first.output), output=tmp_path / "second.safetensors")
    with pytest.raises(WrongUse, match="Add --method afd"):
        Training(replace(second, method="ddp"))
    with pytest.raises(WrongUse, match="No module for test_resnet"):
        Training(replace(second, weights="auto"))
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), other)
    with pytest.raises(BadCheckpoint, match="other weights"):
        Training(replace(second, model=replace(options.model, backbone_checkpoint=other)))


def test_labels_are_those_of_the_photos_folders(options, tmp_path):
    for number in range(6):
        (tmp_path / "photos" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        Image.open(f"{options.photos[0]}/{number}.png").save(tmp_path / "photos" / str(number % 2) / f"{number}.png")
    options = replace(options, photos=(str(tmp_path / "photos"),), output=tmp_path / "m.safetensors")
    options = replace(options, method="augment", labels=True, learning_rate=1e-2, steps=40, validate_every=40)
    training, steps = run(replace(options, logit_weight=1.0))
    assert sorted(training.labels.values()) == [0, 0, 0, 1, 1, 1]
    assert np.mean([step.losses["logit"] for step in steps[-10:]]) < 0.8 * np.log(8) < steps[0].losses["logit"]
    with pytest.raises(WrongUse, match="folder for each class"):
        Training(replace(options, photos=(str(tmp_path / "photos" / "0"),), output=tmp_path / "n.safetensors"))
    with pytest.raises(WrongUse, match="afd learns without"):
        replace(options, method="afd")


def test_with_fct_every_row_says_where_the_quality_is_from(options, tmp_path):
    options = replace(options, method="fct", output=tmp_path / "m.safetensors", steps=1, validate_every=1)
    run(options)
    (tmp_path / "photos").mkdir()
    photo = Image.open(f"{options.photos[0]}/0.png")
    photo.save(tmp_path / "photos" / "a.jpg", quality=20)
    photo.save(tmp_path / "photos" / "b.png")
    (tmp_path / "photos" / "c.jpg").touch()
    asked = ClassifyOptions(
        (str(tmp_path / "photos"),), tmp_path / "p.csv", weights=str(options.output), model=options.model, workers=0
    )
    rows = list(Classification(asked).rows())
    found = [(row["quality"], row["quality_source"]) for row in rows]
    assert found == [(20, "tables"), (None, "estimated"), (None, None)]
    assert "drift" not in rows[0]


def copied(options, folder):
    """The same run on photos of its own, which may be damaged."""
    (folder / "photos").mkdir()
    for path in Path(options.photos[0]).glob("?.png"):
        shutil.copy(path, folder / "photos")
    return replace(options, photos=(str(folder / "photos"),), output=folder / "m.safetensors")


def test_photos_are_held_out_that_can_be_read(options, tmp_path):
    options = copied(options, tmp_path)
    (tmp_path / "photos" / "0.png").write_bytes(b"no photo")
    training, steps = run(options)
    assert [Path(path).name for path in training.held_out] == ["1.png"]
    (part,) = training.mixture
    assert [Path(path).name for path in part.photos] == ["2.png", "3.png", "4.png", "5.png"]
    assert np.isfinite(steps[-1].validation["divergence"])
    load_checkpoint(options.output)


@pytest.mark.parametrize("kept", [(), ("3.png",)])
def test_too_few_photos_that_can_be_read_are_refused_at_the_start(options, tmp_path, kept):
    options = copied(options, tmp_path)
    for path in (tmp_path / "photos").iterdir():
        if path.name not in kept:
            path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WrongUse, match="at least two photos that can be read"):
        Training(options)
    assert not list(tmp_path.glob("m*"))


def test_training_that_comes_apart_stops_and_goes_on_with_a_lower_rate(options, tmp_path, monkeypatch):
    options = replace(options, output=tmp_path / "m.safetensors", steps=6)
    step = Learner.step

    def coming_apart(self, pairs):
        losses = step(self, pairs)
        return {**losses, "loss": float("nan")} if self.done == 3 else losses

    monkeypatch.setattr(Learner, "step", coming_apart)
    with pytest.raises(TrainingStopped, match=r"after step 2.*--resume and a lower --learning-rate than 0.001"):
        run(options)
    load_checkpoint(options.output)
    monkeypatch.undo()
    _, steps = run(replace(options, resume=True, learning_rate=1e-4))
    assert [one.number for one in steps] == [3, 4, 5, 6]
    with pytest.raises(BadCheckpoint, match="other options"):
        Training(replace(options, resume=True))  # the first rate is higher again


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_never_written(options, tmp_path, monkeypatch, value):
    options = replace(options, output=tmp_path / "m.safetensors")
    step = Learner.step

    def breaking(self, pairs):
        losses = step(self, pairs)
        if self.done == 3:
            with torch.no_grad():
                next(self.average.module.parameters()).view(-1)[0] = value
        return losses

    monkeypatch.setattr(Learner, "step", breaking)
    with pytest.raises(TrainingStopped, match="step 4"):
        run(options)
    for path in tmp_path.glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())


def test_a_rate_much_too_high_never_ends_well_without_a_module(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors", learning_rate=1e30, steps=8)
    with pytest.raises(TrainingStopped, match="lower --learning-rate"):
        run(options)
    for path in tmp_path.glob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())
    for rate in (float("nan"), float("inf"), 0.0):
        with pytest.raises(WrongUse, match="--learning-rate"):
            replace(options, learning_rate=rate)


def test_photos_that_vanish_stop_it_and_can_come_back(options, tmp_path):
    options = copied(options, tmp_path)
    steps = Training(options).steps()
    next(steps), next(steps)
    held_out = tmp_path / "photos" / "0.png"
    held_out.rename(tmp_path / "away.png")
    with pytest.raises(TrainingStopped, match=r"held out can be read any more.*after step 2"):
        list(steps)
    (tmp_path / "away.png").rename(held_out)
    _, steps = run(replace(options, resume=True))
    assert [step.number for step in steps] == [3, 4]


def test_at_its_end_without_its_module_it_is_no_success(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors")
    run(options)
    options.output.unlink()
    with pytest.raises(TrainingStopped, match="not there"):
        run(replace(options, resume=True))


def test_a_state_that_is_no_number_is_refused(options, tmp_path):
    options = replace(options, output=tmp_path / "m.safetensors")
    run(options)
    path = tmp_path / "m.state.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    name = next(name for name in tensors if name.startswith("optimizer") and tensors[name].numel() > 1)
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, path, metadata)
    with pytest.raises(BadCheckpoint, match=name):
        Training(replace(options, resume=True))


@pytest.mark.parametrize("function", ["encode", "decode"])
def test_a_codec_that_fails_on_a_photo_ends_nothing(options, tmp_path, monkeypatch, function):
    options = replace(options, output=tmp_path / "m.safetensors", clean_share=0.5)
    works, calls = getattr(damage, function), iter(range(10_000))

    def failing(*given):
        if next(calls) % 5 == 0:
            raise UnreadableImage("the codec has failed")
        return works(*given)

    monkeypatch.setattr(damage, function, failing)
    assert any(make_pair((number, f"{options.photos[0]}/0.png"), 64, options) is None for number in range(20))
    with pytest.raises(TrainingStopped, match="held out"):  # its ten codings cannot all work
        run(options)


def test_a_full_disk_stops_it_and_it_goes_on_when_there_is_room(options, tmp_path, no_room):
    options = replace(options, output=tmp_path / "m.safetensors")
    with pytest.raises(OutputRefused, match="cannot be written"), no_room():  # nothing is begun
        run(options)
    options = replace(options, output=tmp_path / "n.safetensors")
    steps = Training(options).steps()
    assert [next(steps).number, next(steps).number, next(steps).number] == [1, 2, 3]
    before = load_file(tmp_path / "n.state.safetensors")
    with (
        pytest.raises(TrainingStopped, match=r"n\.last.*cannot be written.*as it was after step 2.*--resume"),
        no_room(),
    ):
        list(steps)
    after = load_file(tmp_path / "n.state.safetensors")
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    _, steps = run(replace(options, resume=True))
    assert [step.number for step in steps] == [3, 4]
