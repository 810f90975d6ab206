"""Where files go that nobody named: logs of what went wrong, compiled classifiers, sockets between processes.

Any of these places may be missing, full, or not to be written to: an account without a home, a container whose disk may
only be read. So each is tried before it is used, and where there is none, that is said by an answer of None.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LONGEST_FOR_SOCKETS = 60
"""Letters in the name of a folder whose files can be sockets: a socket's whole name has 103, on some systems."""


def for_temporary_files() -> Path | None:
    """The folder for files that go with this process; None where there is none that can be written to."""
    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return None


def for_sockets() -> Path | None:
    """A folder for sockets between processes, whose names must be short; None where there is none."""
    candidates = [for_temporary_files(), *map(Path, ("/tmp", "/var/tmp", "/dev/shm", "/run/lock"))]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(runtime))
    return next((one for one in candidates if one and len(str(one)) <= LONGEST_FOR_SOCKETS and _takes_files(one)), None)


def _takes_files(folder: Path) -> bool:
    """Whether a file can be made in `folder`; asking for permission would not tell of a disk that may only be read."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def write_log(text: str) -> Path | None:
    """Keep `text` in a new file of the folder for logs, or else for temporary files; None where neither takes it."""
    name = f"afd-{time.strftime('%Y-%m-%d-%H%M%S')}-{os.getpid()}.log"
    for folder in _folders_for_logs():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return path
    return None


def _folders_for_logs() -> Iterator[Path]:
    import platformdirs  # which only a command that fails has to wait for

    with suppress(RuntimeError):  # some versions raise where there is no home, others leave the ~ as it is
        if (logs := platformdirs.user_log_path("afd-dedrift")).is_absolute():
            yield logs
    if (folder := for_temporary_files()) is not None:
        yield folder
