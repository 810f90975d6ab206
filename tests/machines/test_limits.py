"""Limits of containers, in folders made as Linux shows them, of both versions."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdcli.machines import hardware, limits


def system(root, groups, files):
    """Make /proc/self/cgroup with the lines `groups`, and `files` below /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in groups))
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


V1 = ["5:memory:/docker/abc", "4:cpu,cpuacct:/docker/abc", "1:name=systemd:/docker/abc"]


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (["0::/"], {"cpu.max": "200000 100000"}, 2),
        (["0::/"], {"cpu.max": "150000 100000"}, 1.5),
        (["0::/"], {"cpu.max": "max 100000"}, None),
        (["0::/"], {}, None),
        (["0::/a/b"], {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000", "cpu.max": "300000 100000"}, 0.5),
        (["0::/../other"], {"cpu.max": "100000 100000"}, 1),
        (["0::/host/only"], {"cpu.max": "100000 50000"}, 2),
        (
            V1,
            {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "300000", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000"},
            3,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ([*V1, "0::/x"], {"unified/x/cpu.max": "200000 100000"}, 2),
        (["0::/"], {"cpu.max": "no numbers"}, None),
        (["0::/"], {"cpu.max": "100000 0"}, None),
        (["nonsense"], {}, None),
    ],
)
def test_the_quota_of_processors(tmp_path, groups, files, expected):
    assert limits.processors(system(tmp_path, groups, files)) == expected


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        (["0::/"], {"memory.max": "1000000"}, 1000000),
        (["0::/"], {"memory.max": "max"}, None),
        (["0::/a"], {"a/memory.max": "max", "memory.max": "5"}, 5),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": "7"}, 7),
        (V1, {"memory/memory.limit_in_bytes": "8"}, 8),
        (V1, {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_the_limit_of_memory(tmp_path, groups, files, expected):
    assert limits.memory(system(tmp_path, groups, files)) == expected


@pytest.mark.parametrize(
    ("used", "cache", "expected"), [(50, 0, False), (95, 0, True), (95, 30, False), (100, 5, True), (89, 0, False)]
)
def test_memory_is_short_where_little_is_left_that_cannot_be_taken_back(tmp_path, used, cache, expected):
    statistics = f"anon 1\ninactive_file {cache}\nactive_file 0"
    second = {"memory.max": "100", "memory.current": used, "memory.stat": statistics}
    assert limits.memory_is_short(system(tmp_path / "2", ["0::/"], second)) is expected
    first = {"limit_in_bytes": "100", "usage_in_bytes": used, "stat": statistics.replace("inact", "total_inact")}
    first = {f"memory/memory.{name}": text for name, text in first.items()}
    assert limits.memory_is_short(system(tmp_path / "1", V1, first)) is expected


def test_processes_that_the_system_has_ended_are_counted(tmp_path):
    assert limits.ended_processes(tmp_path) == 0
    events = {"memory.events": "low 0\noom 9\noom_kill 3"}
    assert limits.ended_processes(system(tmp_path / "2", ["0::/"], events)) == 3
    control = {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2"}
    assert limits.ended_processes(system(tmp_path / "1", V1, control)) == 2


@pytest.mark.slow
@given(st.binary(max_size=60), st.binary(max_size=40))
def test_no_contents_of_these_files_can_do_harm(tmp_path_factory, groups, text):
    root = tmp_path_factory.mktemp("root")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(b"0::/\n" + groups)
    (root / "sys/fs/cgroup").mkdir(parents=True)
    for name in ("cpu.max", "memory.max", "memory.current", "memory.stat", "memory.events"):
        (root / "sys/fs/cgroup" / name).write_bytes(text)
    limits.processors(root), limits.memory(root), limits.memory_is_short(root), limits.ended_processes(root)


def test_workers_and_threads_follow_the_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "_processors", lambda: 8)
    free = system(tmp_path / "free", ["0::/"], {})
    assert (hardware.default_workers(free), hardware.processors_allowed(free)) == (8, None)
    for name, quota, expected in (("whole", 200_000, 2), ("part", 250_000, 3), ("less", 10_000, 1)):
        root = system(tmp_path / name, ["0::/"], {"cpu.max": f"{quota} 100000"})
        assert (hardware.default_workers(root), hardware.processors_allowed(root)) == (expected, expected)
    wide = system(tmp_path / "wide", ["0::/"], {"cpu.max": "1600000 100000"})
    assert (hardware.default_workers(wide), hardware.processors_allowed(wide)) == (8, None)
    small = system(tmp_path / "small", ["0::/"], {"memory.max": str(2**30)})
    assert (hardware.default_workers(small), hardware.processors_allowed(small)) == (2, None)
    tiny = system(tmp_path / "tiny", ["0::/"], {"memory.max": str(2**26)})
    assert hardware.default_workers(tiny) == 1
    assert hardware.most_memory(tiny) == 2**26


def test_torch_is_told_of_the_quota_and_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setattr(hardware, "processors_allowed", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    hardware.keep_to_quota()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    hardware.keep_to_quota()
    assert os.environ["OMP_NUM_THREADS"] == "5"
