"""Images a second on a GPU, with and without the de-drifting module: in float32 and bfloat16, as it is and compiled.

    python benchmarks/gpu.py [--device cuda] [--batch-size 128] [--seconds 3]

From pixels on the device to logits there; compiled is torch's `reduce-overhead`, which replays CUDA graphs. Prints the
table of gpu.md.
"""

import argparse
import time

import torch

from afdcli.models.classifier import DedriftedClassifier, load_classifier
from afdcli.options import ModelOptions

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cuda")
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--seconds", type=float, default=3.0)
arguments = parser.parse_args()


@torch.inference_mode()
def rate(classifier: DedriftedClassifier, precision: str, compiled: bool) -> float:
    """Images a second, after a second of warming up."""
    size = classifier.backbone.preprocessing.size
    images = torch.rand(arguments.batch_size, 3, size, size, device=arguments.device)
    images = images.to(memory_format=torch.channels_last)
    network = torch.compile(classifier, mode="reduce-overhead") if compiled else classifier
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        for seconds in (1.0, arguments.seconds):
            network(images).sum().item()
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < seconds:
                network(images).sum().item()  # waits for the device
                count += 1
    return count * arguments.batch_size / (time.perf_counter() - begin)


classifiers = [load_classifier(ModelOptions(device=arguments.device), weights) for weights in ("none", "auto")]
print("| | without | with the module | the module adds |\n| --- | --- | --- | --- |")
for precision in ("float32", "bfloat16"):
    for compiled in (False, True):
        without, with_module = (rate(classifier, precision, compiled) for classifier in classifiers)
        name = f"{precision}{', compiled' * compiled}"
        print(f"| {name} | {without:.0f} | {with_module:.0f} | {100 * (without / with_module - 1):.1f} % |", flush=True)
