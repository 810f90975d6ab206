"""Give a trained AFD module an estimate that measures drift, and train that alone.

    python benchmarks/measured.py MODULE PHOTOS OUT [--pairs 3000] [--steps 600]

The paper's map, which is much the same wherever there is damage, goes on saying how much is added there; the new map
takes it away where nothing is lost. Some minutes of one core: nothing behind the tap is computed, and what is before it
once a pair. One photo in ten is held out.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from afdcli.machines.hardware import reuse_memory
from afdcli.machines.processes import in_parts, ordered_map
from afdcli.methods.afd import AFDModule
from afdcli.methods.distances import angle_error, feature_angle
from afdcli.methods.drift import AngleEstimator
from afdcli.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from afdcli.models.classifier import DedriftedClassifier, load_classifier
from afdcli.options import ModelOptions, TrainOptions
from afdcli.photos.sources import Sources
from afdcli.training.pairs import make_pair

BATCH = 32
HELD_OUT = 10
LEARNING_RATE = 4e-3


@dataclass(frozen=True)
class Pairs:
    """What the estimate is taught with."""

    found: Tensor
    """(N, C, h, w) float16, features of damaged crops."""
    target: Tensor
    """The same of the originals."""
    pixels: Tensor
    """(N, H, W, 3) uint8, the damaged crops."""

    def batch(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, images and the originals' features, as networks have them."""
        images = self.pixels[numbers].permute(0, 3, 1, 2).float() / 255
        return self.found[numbers].float(), images, self.target[numbers].float()


def with_measure(module: AFDModule) -> AFDModule:
    """`module`, folded, with an untrained `AngleEstimator` before its own."""
    module = module if module.is_folded else module.folded()
    config = module.config
    result = AFDModule(replace(config, estimator="angle", hidden=TrainOptions.hidden, sized=config.hidden))
    state = {f"size.{name}": value for name, value in module.drift.state_dict().items()}
    state |= {name: value for name, value in module.state_dict().items() if not name.startswith("drift.")}
    result.load_state_dict({**result.state_dict(), **state})
    return result


@torch.inference_mode()
def collect(network: DedriftedClassifier, draws: list[tuple[int, str]], options: TrainOptions) -> Pairs:
    """The pairs of `draws`, through what is before the tap."""
    size = network.backbone.preprocessing.size
    make = partial(make_pair, size=size, options=options)
    made = ordered_map(make, draws, workers=1, ahead=64, room=6 * size**2, crashed=lambda _: None)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for number, part in enumerate(in_parts((pair for pair in made if pair), 16)):
        degraded = np.stack([pair.degraded for pair in part])
        images = network.to_tensor(np.concatenate([degraded, np.stack([pair.original for pair in part])]))
        found, target = network.features(images).half().chunk(2)
        parts.append((found, target, torch.from_numpy(degraded)))
        print(f"{16 * number + len(part)} of {len(draws)} pairs", flush=True)
    return Pairs(*(torch.cat(one) for one in zip(*parts, strict=True)))


def train(estimator: AngleEstimator, pairs: Pairs, steps: int) -> None:
    """AdamW on the true angle, with one rise and fall of the learning rate."""
    optimizer = torch.optim.AdamW(estimator.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for number, numbers in enumerate(batches(len(pairs.pixels), steps), start=1):
        found, images, target = pairs.batch(numbers)
        loss = angle_error(estimator(found, images), found, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if number % 50 == 0:
            print(f"step {number}: {loss.item():.4f}", flush=True)


def batches(count: int, steps: int) -> Iterator[Tensor]:
    """Numbers of pairs, each pair once before any comes again."""
    rounds = math.ceil(steps * BATCH / count)
    order = torch.cat([torch.randperm(count) for _ in range(rounds)])
    yield from order[: steps * BATCH].split(BATCH)


@torch.inference_mode()
def error(estimator: AngleEstimator, pairs: Pairs) -> float:
    """Mean over places of how many degrees the estimate is wrong."""
    errors = []
    for numbers in torch.arange(len(pairs.pixels)).split(BATCH):
        found, images, target = pairs.batch(numbers)
        errors.append((estimator(found, images)[:, 0] - feature_angle(found, target)).abs().mean((1, 2)))
    return float(torch.cat(errors).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("photos")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    reuse_memory()
    torch.manual_seed(0)
    checkpoint = load_checkpoint(arguments.module)
    network = load_classifier(ModelOptions(checkpoint.backbone, device="cpu"), str(arguments.module))
    assert isinstance(checkpoint.module, AFDModule)
    module = with_measure(checkpoint.module)
    estimator = module.drift
    assert isinstance(estimator, AngleEstimator)
    photos = [source.path for source in Sources((arguments.photos,)) if not source.error]
    held_out, taught = photos[::HELD_OUT], [path for number, path in enumerate(photos) if number % HELD_OUT]
    options = TrainOptions((arguments.photos,))
    draws = [(number, taught[number % len(taught)]) for number in range(arguments.pairs)]
    train(estimator, collect(network, draws, options), arguments.steps)
    others = collect(network, [(len(draws) + number, path) for number, path in enumerate(held_out)], options)
    print(f"{error(estimator, others):.1f} degrees wrong on the photos held out, place by place")
    save_checkpoint(Checkpoint(module, checkpoint.tap, checkpoint.backbone, checkpoint.fingerprint), arguments.out)
