"""`afd classify --cluster ray` by two workers here, killed with SIGKILL at random moments, against a run without.

    python benchmarks/kill_workers.py FOLDER [--files 1000] [--kills 10]

Fails unless every file has its row once, the same as without a cluster. Parts are small, so that kills fall into many.
"""

import argparse
import csv
import os
import random
import signal
import tempfile
import threading
import time
from pathlib import Path

import ray
from flat import link_photos
from ray.cluster_utils import Cluster

from afdcli import Classification, ClassifyOptions
from afdcli.machines import cluster

PART = 32

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--files", type=int, default=1000)
parser.add_argument("--kills", type=int, default=10)


def classify(photos: Path, output: Path, where: str) -> list[dict[str, str]]:
    """The rows, sorted."""
    for _ in Classification(ClassifyOptions((str(photos),), output, cluster=where)).rows():
        pass
    with output.open(newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["path"])


def workers() -> list[int]:
    """Processes of Ray that have a worker of ours in them, by the name that Ray gives them."""
    named = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
    return [number for number, name in named.items() if b"ray::_Worker" in name]


def kill(kills: int, killed: list[float], over: threading.Event) -> None:
    """Kill one of the workers now and then, and note when."""
    begin = time.perf_counter()
    while len(killed) < kills and not over.wait(random.uniform(0.2, 4)):
        if found := workers():
            os.kill(random.choice(found), signal.SIGKILL)
            killed.append(time.perf_counter() - begin)


if __name__ == "__main__":
    arguments = parser.parse_args()
    cluster.PART = PART
    with tempfile.TemporaryDirectory(dir=arguments.folder.parent) as scratch:
        photos = Path(scratch, "photos")
        link_photos(arguments.folder, photos, arguments.files)
        here = classify(photos, Path(scratch, "here.csv"), "none")
        machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        machines.add_node(num_cpus=1)
        ray.init(address=machines.address, log_to_driver=False)
        killed: list[float] = []
        over = threading.Event()
        killer = threading.Thread(target=kill, args=(arguments.kills, killed, over))
        killer.start()
        begin = time.perf_counter()
        there = classify(photos, Path(scratch, "there.csv"), "ray")
        seconds = time.perf_counter() - begin
        over.set()
        killer.join()
        ray.shutdown()
        machines.shutdown()
    assert len({row["path"] for row in here}) == len(here) == arguments.files
    assert there == here, "rows differ"
    print(f"{len(there):,} rows in {seconds:.0f} s, each once and the same as here, with {len(killed)} workers killed")
    print(f"at {', '.join(f'{moment:.1f}' for moment in killed)} s")
