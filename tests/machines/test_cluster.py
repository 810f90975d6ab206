"""The same rows by two workers of a cluster, also when workers are killed."""

import csv
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from afdcli.commands.classify import Classification
from afdcli.commands.degrade import Degrading
from afdcli.commands.evaluate import Evaluation
from afdcli.errors import AfdError, WrongUse
from afdcli.machines import cluster
from afdcli.machines.cluster import OnAMachine, in_parts, ray_map, ray_ordered_map
from afdcli.machines.hardware import default_workers
from afdcli.options import (
    ClassifyOptions,
    Compression,
    Degradation,
    DegradeOptions,
    EvaluateOptions,
    ModelOptions,
)

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def two_machines():
    """Two of Ray's nodes on this machine, each with a processor."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - else workers give way to all else
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    ray.init(address=machines.address, log_to_driver=False)
    yield ray
    ray.shutdown()
    machines.shutdown()


class Slowly:
    """Squares numbers, slowest those that come first; fails at 13."""

    def __call__(self, number: int) -> tuple[int, int]:
        time.sleep(0.02 * (number % 3 == 0))
        if number == 13:
            raise WrongUse("Thirteen.")
        return number**2, os.getpid()


def test_results_come_in_order_from_every_worker(two_machines):
    results = list(ray_map(Slowly, range(13)))
    assert [square for square, _ in results] == [number**2 for number in range(13)]
    assert len({pid for _, pid in results}) == 2


def test_what_a_worker_refuses_is_refused_here(two_machines):
    with pytest.raises(WrongUse, match="Thirteen"):
        list(ray_map(Slowly, range(20)))
    assert len(list(ray_map(Slowly, range(3)))) == 3, "and the cluster is free again"


def test_machines_with_another_version_are_refused(two_machines, monkeypatch):
    monkeypatch.setattr(cluster.metadata, "version", lambda _: "9.9")
    with pytest.raises(AfdError, match=r"need afd-dedrift 9\.9, as there is here. Instead: [0-9.]+"):
        list(ray_map(Slowly, [1]))


def test_parts_are_whole_but_the_last():
    assert list(in_parts(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_parts([], 3)) == []


def test_a_machine_uses_its_own_processes(two_machines):
    pids = set(ray_ordered_map(_pid, [1, 2, 3], crashed=_pid))
    assert os.getpid() not in pids


def _pid(_: int) -> int:
    return os.getpid()


def test_what_a_machine_needs_is_loaded_once_and_all_its_processors_are_used():
    loads = []

    def load() -> str:
        loads.append("loaded")
        return "tool"

    def run(items: list[int], tool: str, workers: int) -> Iterator[tuple[int, str, int]]:
        return ((item, tool, workers) for item in items)

    there = OnAMachine(load, run)
    workers = default_workers()
    assert [there([1, 2]), there([3])] == [[(1, "tool", workers), (2, "tool", workers)], [(3, "tool", workers)]]
    assert loads == ["loaded"]


@pytest.fixture
def model(dedrifted):
    return ModelOptions("test_resnet", dedrifted[0], "cpu", batch_size=2, engine="torch")


def test_classify_writes_the_same_rows_and_resumes(two_machines, photos, dedrifted, model, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PART", 4)
    (photos / "broken.jpg").touch()
    here = ClassifyOptions((str(photos),), tmp_path / "here.csv", weights=str(dedrifted[1]), model=model, workers=0)
    there = replace(here, output=tmp_path / "there.csv", cluster="ray")
    rows = [list(Classification(options).rows()) for options in (here, there)]
    assert rows[0] == rows[1] and len(rows[0]) == 7
    assert here.output.read_bytes() == there.output.read_bytes()
    whole = there.output.read_bytes()
    there.output.write_bytes(whole[: len(whole) // 2])
    list(Classification(replace(there, resume=True)).rows())
    assert there.output.read_bytes() == whole


def test_evaluate_measures_the_same(two_machines, photos, dedrifted, model, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PART", 2)
    options = EvaluateOptions(
        photos,
        tmp_path / "here.csv",
        (Compression("jpeg", 10),),
        weights=("none", str(dedrifted[1])),
        model=model,
        workers=0,
    )
    rows = []
    for cluster_name in ("none", "ray"):
        run = Evaluation(replace(options, cluster=cluster_name, output=tmp_path / f"{cluster_name}.csv"))
        assert len(list(run.photos())) == 6
        rows.append(run.rows())
    assert rows[0] == rows[1]


def test_degrade_makes_the_same_copies(two_machines, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PART", 2)
    options = DegradeOptions(photos, tmp_path / "here", (Degradation(((Compression("jpeg", 10),),)),), workers=0)
    there = replace(options, destination=tmp_path / "there", cluster="ray")
    for one in (options, there):
        assert len(list(Degrading(one).copies())) == 6
    files = [
        sorted(path.relative_to(one.destination) for path in one.destination.rglob("*.*")) for one in (options, there)
    ]
    assert files[0] == files[1] and len(files[0]) == 8
    for name in files[0]:
        if name.suffix != ".json":
            assert (options.destination / name).read_bytes() == (there.destination / name).read_bytes()


def test_killed_workers_lose_and_double_no_row(two_machines, photos, dedrifted, model, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PART", 2)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(60):
        os.link(photos / "a.jpg", many / f"{number:03}.jpg")
    options = ClassifyOptions((str(many),), tmp_path / "rows.csv", model=model, cluster="ray")
    killed, done = [], threading.Event()

    def kill_now_and_then() -> None:
        while not done.wait(0.5):
            if workers := _worker_pids():
                killed.append(random.Random(len(killed)).choice(workers))
                os.kill(killed[-1], signal.SIGKILL)
            if len(killed) == 3:
                return

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    list(Classification(options).rows())
    done.set()
    killer.join()
    with options.output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert killed, "it was over before anything could be killed"
    assert [row["path"] for row in rows] == [f"{number:03}.jpg" for number in range(60)]
    assert {row["status"] for row in rows} == {"ok"}


def _worker_pids() -> list[int]:
    """Processes of Ray that have our workers in them, by the name that Ray gives them."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::_Worker" in (folder / "cmdline").read_bytes():
                pids.append(int(folder.name))
        except OSError:
            continue
    return pids


def test_without_ray_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(WrongUse, match=r"pip install 'afd-dedrift\[ray\]'"):
        list(cluster.ray_map(Slowly, [1]))
    with pytest.raises(AfdError, match="--cluster must be one of none, ray"):
        ClassifyOptions(("photos",), cluster="slurm")
