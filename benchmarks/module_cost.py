"""What the de-drifting module adds to the backbone's own time, in eager torch, channels last.

    python benchmarks/module_cost.py [--weights auto] [--backbone NAME] [--batch-size 32] [--rounds 15]

Both networks take the same ready tensors in turn; the figure is the median of the rounds' ratios.
"""

import argparse
import statistics
import time

import torch

from afdcli.classifier import DedriftedClassifier, load_classifier, reuse_memory
from afdcli.options import DEFAULT_BACKBONE, ModelOptions

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--weights", default="auto")
parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--rounds", type=int, default=15)
arguments = parser.parse_args()


@torch.inference_mode()
def seconds(network: DedriftedClassifier, images: torch.Tensor) -> float:
    """Time of one batch."""
    begin = time.perf_counter()
    network(images).sum().item()  # waits for a GPU, too
    return time.perf_counter() - begin


reuse_memory()
options = ModelOptions(arguments.backbone)
plain, dedrifted = (load_classifier(options, weights) for weights in ("none", arguments.weights))
size = plain.backbone.preprocessing.size
images = torch.rand(arguments.batch_size, 3, size, size, device=plain.mean.device)
images = images.to(memory_format=torch.channels_last)
for network in (plain, dedrifted):
    seconds(network, images)
times = [(seconds(plain, images), seconds(dedrifted, images)) for _ in range(arguments.rounds)]
added = [100 * (with_module / without - 1) for without, with_module in times]
low, median, high = statistics.quantiles(added, n=4)
rate = arguments.batch_size / statistics.median(without for without, _ in times)
print(f"without {rate:.0f} images a second; the module adds {median:.1f} % (quartiles {low:.1f} and {high:.1f} %)")
