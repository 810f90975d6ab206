"""How near `afd classify` as a whole comes to its slower half: reading photos, or classifying pixels that are ready.

    python benchmarks/pipeline.py FOLDER [--engine auto] [--rounds 5] [--seconds 5]

Measures both halves alone, on all cores, then all together, in turn; prints the medians, with and without the module.
Where both halves run on the same cores, all together can be no faster than one after the other: that bound is printed
too.
"""

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

from afdcli import BenchOptions, ModelOptions, bench
from afdcli.machines.hardware import reuse_memory

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--engine", default="auto")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=5.0, help="for each part; more for large photos")


if __name__ == "__main__":
    arguments = parser.parse_args()
    reuse_memory()
    model = ModelOptions(engine=arguments.engine)
    rates = defaultdict(list)
    for _ in range(arguments.rounds):
        for rate in bench(BenchOptions((str(arguments.folder),), model=model, seconds=arguments.seconds)):
            rates[rate.part, rate.engine, rate.weights].append(rate.photos_per_second)
    reading = statistics.median(rates["decode, preprocess", "", ""])
    print(f"reading {reading:.0f} photos a second")
    for (part, engine, weights), measured in rates.items():
        if part == "end to end":
            network = statistics.median(rates["inference", engine, weights])
            whole = statistics.median(measured)
            bound = 1 / (1 / reading + 1 / network)
            print(
                f"{engine}, module {weights}: network {network:.0f}, all together {whole:.0f}, which is "
                f"{100 * whole / min(reading, network):.0f} % of the slower half, and {100 * whole / bound:.0f} % of "
                f"one after the other ({bound:.0f})"
            )
