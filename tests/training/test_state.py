import pytest
import torch
from safetensors.torch import save_file

from afdcli.errors import BadCheckpoint
from afdcli.training.state import State, load_state, save_state

TENSORS = {"student.a": torch.ones(3), "optimizer.0.step": torch.tensor(2.0)}
NOW = {
    "learning_rate": 1e-3,
    "narrow": False,
    "shares": (),
    "least_crop": 0,
    "estimator": "paper",
    "drift_weight": 1.0,
    "pixel_weight": 1.0,
    "quality_weight": 1.0,
    "photos": ("a", "b"),
}


def test_what_is_saved_comes_back(tmp_path):
    save_state(State(TENSORS, 7, 0.25, NOW), tmp_path / "a.safetensors")
    state = load_state(tmp_path / "a.safetensors", NOW)
    assert (state.done, state.best) == (7, 0.25)
    assert all(torch.equal(value, state.tensors[name]) for name, value in TENSORS.items())


def test_a_lower_rate_is_all_that_may_change(tmp_path):
    save_state(State(TENSORS, 7, float("inf"), NOW), tmp_path / "a.safetensors")
    assert load_state(tmp_path / "a.safetensors", NOW | {"learning_rate": 1e-4}).settings["learning_rate"] == 1e-4
    for change in ({"learning_rate": 1e-2}, {"photos": ("a",)}, {"narrow": True}):
        with pytest.raises(BadCheckpoint, match="other options"):
            load_state(tmp_path / "a.safetensors", NOW | change)


def test_a_run_begun_before_there_was_an_option_goes_on_without_it(tmp_path):
    before = {"learning_rate": 1e-3, "photos": ("a", "b"), "model": {"backbone": "x"}}
    save_state(State(TENSORS, 7, 0.25, before), tmp_path / "a.safetensors")
    now = NOW | {"model": {"backbone": "x", "ema": "auto", "label_names": None}}
    assert load_state(tmp_path / "a.safetensors", now).done == 7
    with pytest.raises(BadCheckpoint, match="other options"):
        load_state(tmp_path / "a.safetensors", now | {"estimator": "angle"})


@pytest.mark.parametrize("metadata", [None, {}, {"done": "x", "best": "1", "settings": "{}"}, {"settings": "{"}])
def test_what_is_no_state_is_nothing_to_go_on_from(tmp_path, metadata):
    save_file(TENSORS, tmp_path / "a.safetensors", metadata)
    with pytest.raises(BadCheckpoint, match="Start without --resume"):
        load_state(tmp_path / "a.safetensors", NOW)
