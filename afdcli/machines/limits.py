"""What a container lets its processes have: the limits of Linux's control groups (cgroups), of both versions.

Neither the number of processors nor the size of the memory that the system tells knows of them. A process is in a group
for each kind of resource, and what holds for the groups around that one holds for it as well. Each function takes the
folder that counts as `/`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
SHORT = 0.1
"""Memory is short where less than this share of a limit is left."""
UNLIMITED = 2**60
"""Version 1 says so many bytes, and more, where there is no limit."""
PERIOD = "cpu.cfs_period_us"


def processors(root: Path = ROOT) -> float | None:
    """How many processors' time this process gets at most, which need not be a whole number; None without a limit."""
    shares = []
    for folder in _groups("cpu", root):
        for words in (_words(folder / "cpu.max"), _words(folder / "cpu.cfs_quota_us") + _words(folder / PERIOD)):
            if len(words) == 2 and all(map(str.isdecimal, words)) and int(words[1]) > 0:  # and not `max` or -1
                shares.append(int(words[0]) / int(words[1]))
    return min((share for share in shares if share > 0), default=None)


def memory(root: Path = ROOT) -> int | None:
    """How many bytes this process and the others of its group get together at most; None without a limit."""
    return min((limit for _, limit in _memories(root)), default=None)


def memory_is_short(root: Path = ROOT) -> bool:
    """Whether so little is left that the system may soon end a process: what it can take back counts as left."""
    return any(limit - _in_use(folder) < SHORT * limit for folder, limit in _memories(root))


def ended_processes(root: Path = ROOT) -> int:
    """How many processes of the group, and of those inside it, the system has ended so far for want of memory."""
    for folder in _groups("memory", root):
        for name in ("memory.events", "memory.oom_control"):
            if (count := _numbers(folder / name).get("oom_kill")) is not None:
                return count
    return 0


def _memories(root: Path) -> Iterator[tuple[Path, int]]:
    """The groups that limit memory, and how many bytes each allows."""
    for folder in _groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = _words(folder / name)
            if limit and limit[0].isdecimal() and int(limit[0]) < UNLIMITED:  # and not `max`
                yield folder, int(limit[0])


def _in_use(folder: Path) -> int:
    """How many bytes the group in `folder` has that the system cannot just take back."""
    statistics = _numbers(folder / "memory.stat")
    used = _words(folder / "memory.current") or _words(folder / "memory.usage_in_bytes") or ["0"]
    return int(used[0]) - statistics.get("total_inactive_file", statistics.get("inactive_file", 0))


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the group that this process is in, for one kind of resource, and of those around it, if any.

    In a container the outer ones may not be seen, and the container's own may be called as if it were the outermost.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        inside = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for mount in dict.fromkeys(("unified", "") if not controllers else (controllers, controller)):
            base = root / "sys/fs/cgroup" / mount
            for depth in range(len(inside), -1, -1):
                yield base.joinpath(*inside[:depth])


def _lines(path: Path) -> list[str]:
    """The lines of a file; none where it is not there, or may not be read."""
    try:
        return path.read_text().splitlines()
    except (OSError, ValueError):
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _numbers(path: Path) -> dict[str, int]:
    """The numbers in a file with a name and a number on each line."""
    pairs = [line.split() for line in _lines(path)]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
