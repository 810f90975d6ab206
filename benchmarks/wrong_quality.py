"""Whether feature consistency training's residual mapping block uses the quality factor it is told.

    python benchmarks/wrong_quality.py MODULE PHOTOS

MODULE is of `afd train --method fct`. Each photo is compressed at ImageNet-C's qualities and classified four times: the
block is told the quality; nothing, so it estimates; the quality at the other end of the list; and that nothing is lost.
Printed are the share of photos that keep their original's class, and the divergence from its prediction, in nats.
"""

import argparse

import numpy as np
import torch

from afdcli.machines.hardware import reuse_memory
from afdcli.methods.distances import divergence
from afdcli.models.classifier import load_classifier
from afdcli.options import DEFAULT_BACKBONE, IMAGENET_C, ModelOptions, ReadOptions
from afdcli.photos.damage import decode, encode
from afdcli.photos.reading import read_rgb
from afdcli.photos.sources import Sources

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("module")
parser.add_argument("photos", nargs="+")
parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
arguments = parser.parse_args()

reuse_memory()
model = ModelOptions(arguments.backbone, device="cpu")
plain, trained = load_classifier(model, "none"), load_classifier(model, arguments.module)
assert trained.module is not None and trained.module.uses_quality, "MODULE is told no quality"
right = torch.tensor([float(level.quality) for level in IMAGENET_C])
told = {
    "the quality": right,
    "nothing": torch.full_like(right, torch.nan),
    "the opposite": right.flip(0),
    "no damage": torch.full_like(right, 100),
}
kept: dict[str, list[float]] = {name: [] for name in told}
nats: dict[str, list[float]] = {name: [] for name in told}
for source in Sources(arguments.photos):
    crop = plain.backbone.preprocessing(read_rgb(source.path, ReadOptions()).image)
    damaged = [np.asarray(decode(encode(crop, level))) for level in IMAGENET_C]
    with torch.inference_mode():
        target = plain(plain.to_tensor(np.array(crop)[None]))
        for name, quality in told.items():
            logits = trained.predict(trained.to_tensor(np.stack(damaged)), quality)[0]
            kept[name].append(float((logits.argmax(1) == target.argmax(1)).float().mean()))
            nats[name].append(float(divergence(logits, target.expand_as(logits))))
print("| the block is told | keep their class | divergence |")
print("| --- | --- | --- |")
for name in told:
    error = np.std(np.subtract(nats[name], nats["the quality"])) / len(nats[name]) ** 0.5
    print(f"| {name} | {100 * np.mean(kept[name]):.1f} % | {np.mean(nats[name]):.4f} ({error:.4f}) |")
print("In brackets the standard error of the difference from the first row, over the photos.")
