"""Fewer channels: those of a trained AFD module that carry most. It is faster then, and has to be trained on.

A channel carries the mean square of its activation, over damaged photos, times the squares of the weights that read it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from afdcli.errors import WrongUse
from afdcli.machines.processes import in_parts
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.models.backbones import Backbone
from afdcli.models.checkpoint import Checkpoint
from afdcli.models.classifier import DedriftedClassifier, pick_device
from afdcli.options import TrainOptions
from afdcli.options.training import NARROWED
from afdcli.training.mixture import Part, draws
from afdcli.training.pairs import read_pairs
from afdcli.training.peers import Peers

SEEN = 96
"""Pairs that the channels are judged by: the first that training draws."""

Place = tuple[str, int]
"""A layer, and which of its outputs or inputs the first of some channels is."""


@dataclass(frozen=True)
class Channels:
    """Channels inside an `AFDModule` that stay or go alike in all layers that have them."""

    measured: str
    """The layer whose output says how much of a signal they have."""
    writers: tuple[Place, ...]
    """The layers that have them among their outputs, and nonlinearities with a weight for each."""
    readers: tuple[Place, ...]
    """The layers that have them among their inputs."""
    stay: int
    """How many of them are kept."""


def narrowed(
    checkpoint: Checkpoint, backbone: Backbone, photos: Sequence[Part], options: TrainOptions, peers: Peers
) -> Checkpoint:
    """The AFD module of `checkpoint`, folded, with no more channels than `options` ask for: those that carry most.

    A run that is resumed gets the shape alone: its weights are in what it goes on from.

    Raises:
        WrongUse: it has no more channels already; or none of the photos that the channels are judged by can be read.
    """
    assert isinstance(checkpoint.module, AFDModule)
    module = checkpoint.module.folded()
    narrow = narrow_config(module.config, options)
    result = AFDModule(narrow)
    if _size(result) >= _size(module):
        raise WrongUse(
            "The module of --weights has no more channels than that already. Give a smaller --width, --growth, "
            "--hidden or --rank, or leave out --narrow."
        )
    if not options.resume:
        result = prune(module, narrow, _measure(replace(checkpoint, module=module), backbone, photos, options, peers))
    return replace(checkpoint, module=result)


def narrow_config(config: AFDConfig, options: TrainOptions) -> AFDConfig:
    """The shape `config`, folded, with each of `NARROWED` that is larger in it made as small as in `options`."""
    smaller = {name: min(getattr(config, name), getattr(options, name)) for name in NARROWED}
    return replace(config, **smaller, later=config.later if smaller["rank"] else (), folded=True)


def prune(module: AFDModule, narrow: AFDConfig, power: dict[str, Tensor]) -> AFDModule:
    """The folded `module` with the shape `narrow`, which is nowhere larger.

    `power` has for each layer that `channels` names as measured the mean square of its output's channels (C,).
    """
    state = module.state_dict()
    rows: dict[str, list[Tensor]] = defaultdict(list)
    columns: dict[str, list[Tensor]] = defaultdict(list)
    for some in channels(module.config, narrow):
        carried = torch.zeros_like(power[some.measured])
        for reader, first in some.readers:
            weight = state[f"{reader}.weight"][:, first : first + len(carried)]
            carried += power[some.measured] * weight.transpose(0, 1).flatten(1).square().sum(1)
        kept = carried.topk(some.stay).indices.sort().values
        for places, layers in ((rows, some.writers), (columns, some.readers)):
            for layer, first in layers:
                places[layer].append(first + kept)
    for layer, parts in rows.items():
        for name in (f"{layer}.weight", f"{layer}.bias"):
            if name in state:
                state[name] = state[name][torch.cat(parts).sort().values]
    for layer, parts in columns.items():
        state[f"{layer}.weight"] = state[f"{layer}.weight"][:, torch.cat(parts).sort().values]
    result = AFDModule(narrow)
    result.load_state_dict({name: state[name] for name in result.state_dict()})
    return result.eval()


def channels(config: AFDConfig, narrow: AFDConfig) -> Iterator[Channels]:
    """All channels inside an `AFDModule` of the shape `config`, of which as many stay as `narrow` has."""
    yield from _of_angle(config, narrow) if config.estimator == "angle" else _of_paper(narrow)
    yield from _of_enhancer(config, narrow)
    for number, width in enumerate(narrow.later):
        if width:
            yield _between(f"later.{number}.", 0, 2, min(narrow.rank, width))


def _between(prefix: str, writer: int, reader: int, stay: int) -> Channels:
    """Channels in a sequence of layers: one writes them, a nonlinearity comes, and the next layers up to `reader` have
    one filter for each."""
    writers = tuple((f"{prefix}{number}", 0) for number in range(writer, reader))
    return Channels(f"{prefix}{reader - 1}", writers, ((f"{prefix}{reader}", 0),), stay)


def _of_paper(narrow: AFDConfig) -> Iterator[Channels]:
    """Those of `DriftEstimator`."""
    yield _between("drift.layers.", 0, 2, narrow.hidden)
    yield _between("drift.layers.", 2, 4, narrow.hidden)


def _of_angle(config: AFDConfig, narrow: AFDConfig) -> Iterator[Channels]:
    """Those of `AngleEstimator`: what the image tells scales and shifts each channel of what enters."""
    yield _between("drift.told.", 0, 2, narrow.hidden)
    entering = _between("drift.layers.", 0, 2, narrow.hidden)
    told = (("drift.enter", 0), ("drift.told.2", 0), ("drift.told.2", config.hidden))
    yield replace(entering, writers=(*told, *entering.writers))
    yield _between("drift.layers.", 2, 5, narrow.hidden)
    yield _between("drift.layers.", 5, 7, narrow.hidden)


def _of_enhancer(config: AFDConfig, narrow: AFDConfig) -> Iterator[Channels]:
    """Those of `FeatureEnhancer`, level by level, on the way down and on the way up."""
    depth = config.depth
    before, after = ([c.width * c.growth**level for level in range(depth + 1)] for c in (config, narrow))
    down = ["enhance.enter", *(f"enhance.down.{level}" for level in range(depth))]  # one a level
    up = [f"enhance.up.{depth - 1 - level}" for level in range(depth)]
    for level in range(depth + 1):
        # On the way up, a level's input is what it was on the way down, and behind that what comes from below.
        above: Place = (f"{up[level - 1]}.0", before[level - 1]) if level else ("enhance.leave", 0)
        turns = level == depth
        readers: tuple[Place, ...] = (above,) if turns else ((f"{down[level + 1]}.0", 0), (f"{up[level]}.0", 0))
        yield _block(down[level], readers, after[level])
        if not turns:
            yield _block(up[level], (above,), after[level])


def _block(name: str, readers: tuple[Place, ...], stay: int) -> Channels:
    """The outputs of a convolution and its nonlinearity."""
    return Channels(f"{name}.1", ((f"{name}.0", 0), (f"{name}.1", 0)), readers, stay)


@torch.inference_mode()
def _measure(
    checkpoint: Checkpoint, backbone: Backbone, photos: Sequence[Part], options: TrainOptions, peers: Peers
) -> dict[str, Tensor]:
    """The mean square of every channel of every layer in the module, over damaged photos; up to one common factor."""
    module = checkpoint.module
    power: dict[str, Tensor] = {}

    def add(name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        power[name] = power.get(name, 0) + output.float().square().transpose(0, 1).flatten(1).sum(1)

    assert isinstance(module, AFDModule)
    measured = {some.measured for some in channels(module.config, module.config)}
    hooks = [module.get_submodule(name).register_forward_hook(partial(add, name)) for name in measured]
    network = DedriftedClassifier(backbone, module, checkpoint.tap).eval().to(pick_device(options.model.device))
    drawn = islice(draws(photos, options.seed, 0, SEEN), peers.rank, None, peers.count)
    batch_size = max(1, options.model.batch_size // peers.count)
    pairs = read_pairs(drawn, backbone.preprocessing, options, ahead=2 * batch_size)
    for some in in_parts((pair for pair in pairs if pair is not None), batch_size):
        network.predict(network.to_tensor(np.stack([pair.degraded for pair in some])))
    for hook in hooks:
        hook.remove()
    if not power:
        raise WrongUse(f"None of the first {SEEN} photos drawn can be read. Look at them with: afd classify")
    peers.average(list(power.values()))  # so that all keep the same channels
    return {name: value.cpu() for name, value in power.items()}


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
