"""Speeds cannot be tested, but what is measured can."""

from dataclasses import replace
from itertools import cycle

import pytest
import torch

from afdcli.commands import bench as command
from afdcli.commands.bench import bench
from afdcli.errors import WrongUse
from afdcli.options import BenchOptions, ModelOptions

torch.set_num_threads(1)


@pytest.fixture
def options(photos, dedrifted):
    network, module = dedrifted
    model = ModelOptions("test_resnet", network, "cpu", batch_size=2, engine="torch")
    return BenchOptions((str(photos),), str(module), seconds=0.05, model=model, workers=0)


@pytest.mark.slow
def test_each_part_is_measured_with_the_module_and_without(options, monkeypatch):
    monkeypatch.setattr(command, "WARM_UP", 0.01)
    rates = list(bench(options))
    weights = ("none", options.weights)
    parts = [("decode", "", ""), ("decode, preprocess", "", "")]
    parts += [(part, "torch", name) for part in ("inference", "end to end") for name in weights]
    assert [(rate.part, rate.engine, rate.weights) for rate in rates] == parts
    assert all(rate.photos_per_second > 0 for rate in rates)


def test_a_rate_is_what_was_done_after_the_warm_up_over_its_time(monkeypatch):
    clock = iter([0.0, 0.4, 1.2, 1.7, 2.2, 2.7])  # the third reading ends the warm-up
    monkeypatch.setattr(command.time, "perf_counter", lambda: next(clock))
    assert command._rate(cycle([4]), seconds=1.2) == pytest.approx(3 * 4 / 1.5)


def test_all_installed_engines_take_part_unless_one_is_named(options):
    assert command._engine_names(options) == ["torch"]
    several = replace(options, model=replace(options.model, engine="auto"))
    assert command._engine_names(several) == ["torch", "openvino", "onnxruntime"]


def test_without_photos_there_is_nothing_to_measure(options, tmp_path):
    (tmp_path / "broken.jpg").touch()
    with pytest.raises(WrongUse, match=r"Not one photo of .* can be read"):
        list(bench(replace(options, photos=(str(tmp_path / "broken.jpg"),))))
    with pytest.raises(WrongUse, match="--seconds"):
        replace(options, seconds=0)
