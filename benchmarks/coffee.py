"""A module in the time of a coffee: what training spends on photos, what a cache of them would save, what is won back.

    python benchmarks/coffee.py PHOTOS [--minutes 10] [--backbone NAME] [--checkpoint FILE] [--steps N]

First steps are timed in turn with photos read and decoded for every pair, as `afd train` does, and with each photo
decoded once and kept in memory, the best that any cache could do; all in this process, one after the other, so that the
times add up. Then a module is trained for so many minutes, and each look at the photos held out is a row. Without a
checkpoint the weights are those published, or random ones with `--random`: enough for times, not for what is won back.
"""

import argparse
import functools
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from safetensors.torch import save_file

from afdcli import ModelOptions, Training, TrainOptions
from afdcli.machines.hardware import default_workers, reuse_memory
from afdcli.models.backbones import untrained_backbone
from afdcli.photos.reading import read_rgb
from afdcli.training import pairs as reading
from afdcli.training.pairs import Pair, make_pair

ROUNDS = 5
BATCH = 16

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos", type=Path)
parser.add_argument("--minutes", type=float, default=10.0)
parser.add_argument("--backbone", default="resnet50")
parser.add_argument("--checkpoint", type=Path)
parser.add_argument("--random", action="store_true", help="random weights, which need no file")
parser.add_argument("--steps", type=int, help="of the training; by default, as many as fit into the minutes")


def rates(training: Training, options: TrainOptions, paths: list[str]) -> float:
    """Time pairs with and without decoded photos, in turn, and print what they cost; returns seconds a step."""
    size = training.backbone.preprocessing.size
    kept = functools.cache(read_rgb)
    seconds: dict[str, list[float]] = {"decoded each time": [], "decoded once": [], "the step itself": []}
    for path in paths:
        kept(path, options.read)
    for number in range(ROUNDS):
        draws = [(number * BATCH + place, path) for place, path in enumerate(paths)]
        for name, read in (("decoded each time", read_rgb), ("decoded once", kept)):
            begun = time.perf_counter()
            with mock.patch.object(reading, "read_rgb", read):
                made = [pair for draw in draws if (pair := make_pair(draw, size, options)) is not None]
            seconds[name].append(time.perf_counter() - begun)
        seconds["the step itself"].append(_step(training, made))
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    for name, one in middle.items():
        print(f"{name}: {1000 * one / BATCH:.1f} ms a pair", flush=True)
    now, cached = (middle[name] + middle["the step itself"] for name in ("decoded each time", "decoded once"))
    print(
        f"without a cache {BATCH / now:.2f} pairs a second, with {BATCH / cached:.2f}: {now / cached:.3f} times",
        flush=True,
    )
    print(f"decoding is {100 * (now - cached) / now:.1f} % of a step, in one process", flush=True)
    return now


def _step(training: Training, made: list[Pair]) -> float:
    begun = time.perf_counter()
    training.learner.step(made)
    return time.perf_counter() - begun


def train(options: TrainOptions) -> None:
    """Train, and print each look and validation."""
    begun = time.perf_counter()
    for step in Training(options).steps():
        minutes = (time.perf_counter() - begun) / 60
        if step.glance is not None:
            classes = "-" if step.glance.classes is None else f"{step.glance.classes:.0f}"
            pays = "" if step.glance.pays else ", more time hardly pays"
            print(
                f"{minutes:.1f} min, step {step.number}: classes {classes} %, nearer {step.glance.nearer:.0f} %{pays}",
                flush=True,
            )
        if step.validation is not None:
            before, after = step.validation["agreement_without"], step.validation["agreement"]
            recovered = 100 * (after - before) / (100 - before) if before < 100 else 0.0
            print(f"{minutes:.1f} min, step {step.number}, validation: recovered {recovered:.1f} %", flush=True)


if __name__ == "__main__":
    arguments = parser.parse_args()
    reuse_memory()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = arguments.checkpoint
        if arguments.random:
            torch.manual_seed(0)
            checkpoint = Path(folder, "network.safetensors")
            save_file(dict(untrained_backbone(arguments.backbone).model.state_dict()), checkpoint)
        options = TrainOptions(
            photos=(str(arguments.photos),),
            output=Path(folder, "timed.safetensors"),
            validate_every=1_000_000,
            model=ModelOptions(arguments.backbone, checkpoint, batch_size=BATCH),
            workers=default_workers(),
        )
        training = Training(options)
        paths = [path for part in training.mixture for path in part.photos][:BATCH]
        step = rates(training, options, paths)
        steps = arguments.steps or max(1, round(60 * arguments.minutes / step))
        print(f"training: {steps} steps", flush=True)
        train(replace(options, output=Path(folder, "module.safetensors"), steps=steps))
