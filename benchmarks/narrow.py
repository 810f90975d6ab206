"""Make a trained AFD module narrower, and so faster: keep the channels that carry most. Then it has to be trained on.

    python benchmarks/narrow.py MODULE PHOTOS OUT [--width 24] [--growth 1] [--hidden 32] [--rank 48]
    afd train PHOTOS --weights OUT --steps 2000 --learning-rate 5e-4

A channel carries the mean square of its activation, over damaged photos, times the squares of the weights that read it.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from afdcli import ModelOptions, TrainOptions
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from afdcli.models.classifier import DedriftedClassifier, load_classifier
from afdcli.photos.samples import make_pair
from afdcli.photos.sources import expand_inputs, find_images

SEEN = 96
"""Photos that the channels are judged by."""
BATCH = 16
WIDTHS = ("width", "growth", "hidden", "rank")
"""What of the shape is made smaller: by default, to what `afd train` gives new modules."""


def channels(config: AFDConfig, narrow: AFDConfig) -> Iterator[tuple[str, str, list[tuple[str, int]], int]]:
    """Every activation in an `AFDModule`, in four parts: its name, the layer it follows, the layers that read it, each
    with the place of its first channel among their inputs; and how many channels stay."""
    if config.estimator == "paper":
        yield "drift.layers.1", "drift.layers.0", [("drift.layers.2", 0)], narrow.hidden
        yield "drift.layers.3", "drift.layers.2", [("drift.layers.4", 0)], narrow.hidden
    depth = config.depth
    before, after = ([c.width * c.growth**level for level in range(depth + 1)] for c in (config, narrow))
    down = ["enhance.enter", *(f"enhance.down.{level}" for level in range(depth))]  # one a level
    up = [*(f"enhance.up.{depth - 1 - level}" for level in range(depth)), ""]
    for level in range(depth):
        readers = [(f"{down[level + 1]}.0", 0), (f"{up[level]}.0", 0)]
        yield f"{down[level]}.1", f"{down[level]}.0", readers, after[level]
        reader = (f"{up[level - 1]}.0", before[level - 1]) if level else ("enhance.leave", 0)
        yield f"{up[level]}.1", f"{up[level]}.0", [reader], after[level]
    deepest = (f"{up[depth - 1]}.0", before[depth - 1]) if depth else ("enhance.leave", 0)
    yield f"{down[depth]}.1", f"{down[depth]}.0", [deepest], after[depth]
    for number, width in enumerate(config.later):
        if width:
            here = f"later.{number}"
            yield f"{here}.1", f"{here}.0", [(f"{here}.2", 0)], min(narrow.rank, width)


def narrowed(module: AFDModule, narrow: AFDConfig, power: dict[str, Tensor]) -> AFDModule:
    """`module`, folded, with the shape of `narrow`; `power` is the mean square of each activation's channels."""
    state = module.state_dict()
    columns: dict[str, list[Tensor]] = defaultdict(list)
    rows: dict[str, Tensor] = {}
    for name, layer, readers, stay in channels(module.config, narrow):
        carried = torch.zeros_like(power[name])
        for reader, first in readers:
            carried += power[name] * state[f"{reader}.weight"][:, first : first + len(carried)].square().sum((0, 2, 3))
        kept = carried.topk(stay).indices.sort().values
        print(f"{name}: {len(carried)} -> {stay} channels, {100 * carried[kept].sum() / carried.sum():.0f} % carried")
        rows[layer] = rows[name] = kept
        for reader, first in readers:
            columns[reader].append(first + kept)
    for name, kept in rows.items():
        for part in (f"{name}.weight", f"{name}.bias"):
            if part in state:
                state[part] = state[part][kept]
    for name, places in columns.items():
        state[f"{name}.weight"] = state[f"{name}.weight"][:, torch.cat(places).sort().values]
    result = AFDModule(narrow)
    result.load_state_dict(state)
    return result


@torch.inference_mode()
def measure(network: DedriftedClassifier, photos: str) -> dict[str, Tensor]:
    """The mean square of every channel of every activation in the module, over damaged photos."""
    assert network.module is not None
    power: dict[str, Tensor] = {}

    def add(name: str, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        power[name] = power.get(name, 0) + output.square().mean((0, 2, 3))

    for name, layer in network.module.named_modules():
        if isinstance(layer, nn.PReLU):
            layer.register_forward_hook(partial(add, name))
    paths = [source.path for source in islice(find_images(expand_inputs((photos,))), SEEN)]
    size, options = network.backbone.preprocessing.size, TrainOptions((photos,))
    pairs = [pair for one in enumerate(paths) if (pair := make_pair(one, size=size, options=options))]
    for begin in range(0, len(pairs), BATCH):
        network.predict(network.images(np.stack([pair.degraded for pair in pairs[begin : begin + BATCH]])))
    return power


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", type=Path)
    parser.add_argument("photos")
    parser.add_argument("out", type=Path)
    for name in WIDTHS:
        parser.add_argument(f"--{name}", type=int, default=getattr(TrainOptions, name))
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.module)
    network = load_classifier(ModelOptions(checkpoint.backbone, device="cpu"), str(arguments.module))
    module = network.module
    assert isinstance(module, AFDModule)
    narrow = replace(module.config, **{name: getattr(arguments, name) for name in WIDTHS})
    if module.measures_drift:
        narrow = replace(narrow, hidden=module.config.hidden)  # narrow enough as it is
    result = narrowed(module, narrow, measure(network, arguments.photos))
    save_checkpoint(Checkpoint(result, checkpoint.tap, checkpoint.backbone, checkpoint.fingerprint), arguments.out)
