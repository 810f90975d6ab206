"""What the de-drifting module adds to the backbone's own time, from pixels to classes.

    python benchmarks/module_cost.py [--engine torch] [--weights auto] [--backbone NAME] [--batch-size 32] [--rounds 15]

Both take the same pixels in turn; the figure is the median of the rounds' ratios.
"""

import argparse
import statistics
import time
from functools import partial

import numpy as np

from afdcli.engines.engine import Engine
from afdcli.engines.loading import load_engine
from afdcli.machines.hardware import reuse_memory
from afdcli.machines.processes import threaded_map
from afdcli.options import DEFAULT_BACKBONE, ENGINES, ModelOptions

BATCHES = 4

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--engine", default="torch", choices=ENGINES)
parser.add_argument("--precision", default=ModelOptions.precision)
parser.add_argument("--weights", default="auto")
parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--rounds", type=int, default=15)
arguments = parser.parse_args()


def seconds(engine: Engine, pixels: np.ndarray) -> float:
    """Time of `BATCHES` batches, as many at once as in `afd classify`."""
    begin = time.perf_counter()
    list(threaded_map(partial(engine.predict_topk, k=5), [pixels] * BATCHES, engine.threads))
    return time.perf_counter() - begin


reuse_memory()
options = ModelOptions(arguments.backbone, engine=arguments.engine, precision=arguments.precision)
plain, dedrifted = (load_engine(options, weights) for weights in ("none", arguments.weights))
size = plain.about.preprocessing.size
pixels = np.random.default_rng(0).integers(0, 256, (arguments.batch_size, size, size, 3), dtype=np.uint8)
for engine in (plain, dedrifted):
    seconds(engine, pixels)
times = [(seconds(plain, pixels), seconds(dedrifted, pixels)) for _ in range(arguments.rounds)]
added = [100 * (with_module / without - 1) for without, with_module in times]
low, median, high = statistics.quantiles(added, n=4)
rate = BATCHES * arguments.batch_size / statistics.median(without for without, _ in times)
print(f"without {rate:.0f} images a second; the module adds {median:.1f} % (quartiles {low:.1f} and {high:.1f} %)")
