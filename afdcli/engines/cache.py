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
import warnings
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from afdcli.engines.engine import CompiledClassifier, format_of
from afdcli.errors import Fallback
from afdcli.machines.hardware import processors_allowed
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
NOT_KEPT = (
    "'{}' cannot be written to ({}), so what is compiled is not kept, and every run begins slower. XDG_CACHE_HOME may "
    "name another folder."
)
"""What is said where there is no cache, for what reason."""


def place() -> Path | None:
    """Where compiled classifiers are kept, a folder for each. What is there may be deleted at any time.

    An account without a home gets a folder that goes with this process: nobody else could be kept from writing there.
    None where not even that can be made.
    """
    with suppress(RuntimeError):  # some versions raise where there is no home, others leave the ~ as it is
        if (folder := platformdirs.user_cache_path("afd-dedrift")).is_absolute():
            return folder
    with suppress(OSError):
        return _passing_folder()
    return None


@functools.cache
def _passing_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="afd-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


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
    run = format_.load(folder / _file(engine), precision, processors_allowed())
    about = Description.from_json(record["about"])
    return CompiledClassifier(engine, format_.threads, about, record["parameters"], record["macs"], run)


def _file(engine: str) -> str:
    return f"network{format_of(engine).ending}"


def keep(classifier: DedriftedClassifier, engine: str, folder: Path | None) -> Path:
    """Convert `classifier` for `engine` into `folder`, all of it or nothing.

    Returns the folder that it is in: where it cannot be `folder`, which is said, one that goes with the process.

    Raises:
        OSError, RuntimeError: it cannot be converted, or there is no room for it anywhere.
    """
    if folder is None:
        return _convert(classifier, engine, None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = _convert(classifier, engine, folder.parent)
    except (OSError, RuntimeError) as error:
        warnings.warn(Fallback(NOT_KEPT.format(folder.parent, words(error))), stacklevel=2)
        return _convert(classifier, engine, None)
    if is_current(folder):  # another process was faster
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    try:
        os.replace(fresh, folder)
    except OSError:  # another process was faster still, or there is no place
        return fresh
    forget(folder.parent)
    return folder


def _convert(classifier: DedriftedClassifier, engine: str, place: Path | None) -> Path:
    """Convert `classifier` into a new folder in `place`, by default where temporary files go; it goes with the process.

    Raises:
        OSError, RuntimeError: it cannot be done. Nothing is left of it, for there may be no room.
    """
    fresh = Path(tempfile.mkdtemp(dir=place))
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)  # unless it is moved
    try:
        format_of(engine).save(classifier.graph(), fresh / _file(engine))
        network = {path.name: digest(path) for path in fresh.iterdir()}
        sources = {str(path.absolute()): digest(path) for path in classifier.files}
        record = {
            "about": classifier.about.to_json(),
            "parameters": classifier.added_parameters(),
            "macs": classifier.added_macs(),
            "files": {**network, **sources} if sources else {},  # Without sources, nobody could tell if it is right.
        }
        (fresh / RECORD).write_text(json.dumps(record))
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return fresh


def words(error: Exception) -> str:
    """What an error says, on one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split()) or type(error).__name__


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
