"""What there is on this machine to work with, asked and set without torch, which takes seconds to import."""

from __future__ import annotations

import functools
import math
import os
import sys
from pathlib import Path

from afdcli.machines import limits

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""The numbers of two of glibc's settings, in malloc.h."""
GPU_DRIVERS = (
    "/dev/nvidiactl",
    "/dev/nvhost-gpu",  # Jetson
    "/dev/dxg",  # Windows' subsystem for Linux
    "/dev/kfd",  # AMD
    "C:/Windows/System32/nvcuda.dll",
)
"""Files of which one is there where the driver of a GPU is installed."""


MOST_PROCESSES = 61 if sys.platform == "win32" else sys.maxsize
"""Windows can wait for no more processes at a time."""
MEMORY_OF_A_WORKER = 2**29
"""Bytes for each worker process where memory is limited: a photo of many megapixels, some copies, and the rest."""


@functools.cache
def default_workers(root: Path = limits.ROOT) -> int:
    """How many processes can work side by side: as many as there are processors for this one, and memory.

    Both the processors that it may use and the limits of its container count; `root` is the folder that is `/`.
    """
    workers = min(_processors(), processors_allowed(root) or sys.maxsize)
    if (memory := limits.memory(root)) is not None:
        workers = min(workers, max(1, memory // MEMORY_OF_A_WORKER))
    return min(workers, MOST_PROCESSES)


@functools.cache
def processors_allowed(root: Path = limits.ROOT) -> int | None:
    """How many threads a container's quota can keep busy; None where it does not bind: all processors, then."""
    quota = limits.processors(root)
    return None if quota is None or quota >= _processors() else math.ceil(quota)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def most_memory(root: Path = limits.ROOT) -> int | None:
    """How many bytes there can be at most for this process, by the machine, its container and its own limit.

    None where nothing tells.
    """
    found = [limits.memory(root)]
    if hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if sys.platform != "win32":
        import resource

        own, _ = resource.getrlimit(resource.RLIMIT_AS)
        found.append(None if own == resource.RLIM_INFINITY else own)
    return min((one for one in found if one is not None), default=None)


def reuse_memory() -> None:
    """Have the C library keep freed memory, on Linux with glibc: for a process that does nothing but run networks.

    Otherwise every layer's output is a fresh mapping, and zeroing its pages takes as long as the network itself.
    """
    _keep(pieces=2**30, in_all=2**31 - 1)


def reuse_some_memory() -> None:
    """The same for a process that reads photos: it keeps 64 MB at most, the pixels of a few photos.

    Otherwise the pages of each photo's pixels, and of what is made of them, go back and come anew, zeroed: a sixth of
    the time that reading takes.
    """
    _keep(pieces=2**25, in_all=2**26)  # the C library takes no more than the former


def _keep(pieces: int, in_all: int) -> None:
    """Have the C library keep what is freed of pieces below so many bytes, up to `in_all`."""
    import ctypes  # options use this file, and every start would wait for it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, pieces)
        mallopt(M_TRIM_THRESHOLD, in_all)


def use_all_processors() -> None:
    """Have torch, if it is imported after this, use all processors, where a cluster has told it to use one."""
    os.environ["OMP_NUM_THREADS"] = str(min(_processors(), processors_allowed() or sys.maxsize))


def keep_to_quota() -> None:
    """Have torch, if it is imported after this, use no more threads than the container's quota lets run at a time.

    Those beyond it would wait for each other. What the user has set stays.
    """
    if (allowed := processors_allowed()) is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(allowed))


def may_have_gpu() -> bool:
    """Whether torch may find a GPU here. Where this is False, it need not be asked."""
    import platform  # as above
    from importlib import metadata  # as above

    build = metadata.version("torch").partition("+")[2]
    return (
        build.startswith(("rocm", "xpu"))
        or (sys.platform == "darwin" and platform.machine() == "arm64")
        or any(map(os.path.exists, GPU_DRIVERS))
    )
