"""What there is on this machine to work with, asked and set without torch, which takes seconds to import."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from importlib import metadata

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
GPU_DRIVERS = (
    "/dev/nvidiactl",
    "/dev/nvhost-gpu",  # Jetson
    "/dev/dxg",  # Windows' subsystem for Linux
    "/dev/kfd",  # AMD
    "C:/Windows/System32/nvcuda.dll",
)


def default_workers() -> int:
    """Processes this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reuse_memory() -> None:
    """Have the C library keep freed memory, on Linux with glibc: for a process that does nothing but run networks.

    Otherwise every layer's output is a fresh mapping, and zeroing its pages takes as long as the network itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def use_all_processors() -> None:
    """Have torch, if it is imported after this, use all processors, where a cluster has told it to use one."""
    os.environ["OMP_NUM_THREADS"] = str(default_workers())


def may_have_gpu() -> bool:
    """Whether torch may find a GPU here. Where this is False, it need not be asked."""
    build = metadata.version("torch").partition("+")[2]
    return (
        build.startswith(("rocm", "xpu"))
        or (sys.platform == "darwin" and platform.machine() == "arm64")
        or any(map(os.path.exists, GPU_DRIVERS))
    )
