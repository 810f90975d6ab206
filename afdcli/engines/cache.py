"""Compiled classifiers on disk: kept under a key, checked before they are used, and forgotten when long unused.

What was compiled before is taken from here without importing torch, and so is ready in half a second.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from afdcli.engines.engine import CompiledClassifier, format_of
from afdcli.models.description import Description
from afdcli.options import ModelOptions

if TYPE_CHECKING:
    from afdcli.models.classifier import DedriftedClassifier

KEPT = 30
"""How many compiled classifiers are kept, those used last."""
CACHE_FORMAT = 5
"""The version of what is kept in a folder, which is part of the key: what another version kept is not looked at."""
RECORD = "record.json"
"""In each folder of the cache: what the classifier is, and checksums of its files and of those it was made from."""


def place() -> Path:
    """Where compiled classifiers are kept, a folder for each. What is there may be deleted at any time.

    An account without a home gets a folder that goes with this process: nobody else could be kept from writing there.
    """
    with suppress(RuntimeError):  # some versions raise where there is no home, others leave the ~ as it is
        if (folder := platformdirs.user_cache_path("afd-dedrift")).is_absolute():
            return folder
    return _passing_folder()


@functools.cache
def _passing_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="afd-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def key(options: ModelOptions, weights: str, engine: str) -> str:
    """The name of the folder for the classifier of `options`, with the module `weights`, compiled for `engine`.

    Whether the files that it was made from are still the same is in its `RECORD`.
    """
    packages = ("afd-dedrift", "torch", "timm", *format_of(engine).packages)
    versions = {name: metadata.version(name) for name in packages}
    files = [path and str(path.absolute()) for path in (options.backbone_checkpoint, options.label_names)]
    module = weights if weights in ("auto", "none") else str(Path(weights).absolute())
    here = str(Path(__file__).parents[1])  # Another copy of afd may come with other modules.
    about = [CACHE_FORMAT, here, engine, options.backbone, *files, options.ema, module, versions]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def find(folder: Path, engine: str, precision: str) -> CompiledClassifier | None:
    """The classifier that is kept in `folder`; None if there is none, or none any more that can be used."""
    if not is_current(folder):
        return None
    with suppress(OSError):  # in a cache that may only be read
        os.utime(folder)
    try:
        return load(folder, engine, precision)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):  # whole, and yet wrong
        shutil.rmtree(folder, ignore_errors=True)
        return None


def is_current(folder: Path) -> bool:
    """Whether `folder` is just as it was written, and what it was made from is as it was then."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
        files = dict(record["files"])
        return bool(files) and all(digest(folder / path) == expected for path, expected in files.items())
    except (OSError, ValueError, TypeError, KeyError):  # not there, or not afd's
        return False


def load(folder: Path, engine: str, precision: str) -> CompiledClassifier:
    """The classifier in `folder`, unchecked, ready to run in `precision`.

    Raises:
        OSError, ValueError, TypeError, KeyError, RuntimeError: it cannot be read.
    """
    record = json.loads((folder / RECORD).read_bytes())
    format_ = format_of(engine)
    run = format_.load(folder / _file(engine), precision)
    about = Description.from_json(record["about"])
    return CompiledClassifier(engine, format_.threads, about, record["parameters"], record["macs"], run)


def _file(engine: str) -> str:
    return f"network{format_of(engine).ending}"


def keep(classifier: DedriftedClassifier, engine: str, folder: Path) -> Path:
    """Convert `classifier` for `engine` into `folder`, all of it or nothing.

    Returns the folder that it is in: where it cannot be `folder`, one that goes with the process.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
    except OSError:
        fresh = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)  # unless it is moved
    format_of(engine).save(classifier.graph(), fresh / _file(engine))
    network = {path.name: digest(path) for path in fresh.iterdir()}
    sources = {str(path.absolute()): digest(path) for path in classifier.files}
    record = {
        "about": classifier.about.to_json(),
        "parameters": classifier.added_parameters(),
        "macs": classifier.added_macs(),
        "files": {**network, **sources} if sources else {},  # Without sources, nobody could tell if it is still right.
    }
    (fresh / RECORD).write_text(json.dumps(record))
    if is_current(folder):  # another process was faster
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.replace(fresh, folder)
    except OSError:  # another process was faster still, or there is no place
        return fresh
    forget(folder.parent)
    return folder


def forget(cache: Path) -> None:
    """Delete those folders of `cache` that have not been used for longest, but for `KEPT` of them."""
    records = sorted(cache.glob(f"*/{RECORD}"), key=lambda path: path.parent.stat().st_mtime, reverse=True)
    for record in records[KEPT:]:
        shutil.rmtree(record.parent, ignore_errors=True)


def digest(path: Path) -> str | None:
    """The SHA-256 of the file at `path`, in hexadecimal digits; None where there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
