"""Speeds cannot be tested, but what is measured can."""

from dataclasses import replace
from itertools import cycle

import pytest
import torch

from afdcli.commands import bench as command
from afdcli.commands.bench import FAST_READING, NETWORK, READING, Rate, bench, limit
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
    parts = [("decode", "", ""), ("decode, preprocess", "", ""), ("fast decode, preprocess", "", "")]
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


def measured(reading, fast, network, other=0.0):
    return [
        Rate(READING, "", "", reading),
        Rate(FAST_READING, "", "", fast),
        Rate(NETWORK, "torch", "none", 9999),
        Rate(NETWORK, "torch", "module", other),
        Rate(NETWORK, "openvino", "module", network),
    ]


@pytest.mark.parametrize(
    ("rates", "settings", "begin", "flag"),
    [
        (measured(13, 60, 240), {}, "Reading limits this machine: 13 ", "--fast-decode reads 60,"),
        (measured(475, 480, 600), {"workers": 0}, "Reading limits", "--workers 2 "),
        (measured(475, 480, 600), {"workers": 2}, "Reading limits", "--cluster ray "),
        (
            measured(475, 480, 240, other=110),
            {},
            "The network limits this machine: openvino classifies 240 ",
            "bfloat16",
        ),
        (
            measured(475, 480, 240),
            {"model": ModelOptions(precision="bfloat16")},
            "The network limits this machine",
            "--cluster ray ",
        ),
    ],
)
def test_what_limits_is_said_with_the_flag_that_moves_it(monkeypatch, rates, settings, begin, flag):
    monkeypatch.setattr(command, "default_workers", lambda: 2)
    said = limit(rates, BenchOptions(("photos",), "module", **settings))
    assert said.startswith(begin) and flag in said and said.endswith(".")
    assert said.count(". ") == 0
