"""Photos that lie elsewhere: in object stores and on servers, by URI, through fsspec.

Which kinds there are, and where their keys and settings come from, is fsspec's matter: s3://, gs://, az://, hdfs://,
http:// and more, some with a package of their own (s3fs, gcsfs, ...).
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from typing import Any

from afdcli.errors import UnreadableImage, WrongUse


def is_uri(text: str) -> bool:
    """Whether `text` is a URI, and not a path on this machine."""
    return "://" in text and not os.path.lexists(text)


def expand(uri: str) -> list[str]:
    """What `uri` names: itself, or what matches it as a pattern, in order of name.

    Raises:
        WrongUse: nothing is there, or it cannot be asked.
    """
    try:
        system, path = _open(uri)
        found = [path] if system.exists(path) else sorted(system.glob(path)) if glob.has_magic(path) else []
    except Exception as error:  # Each kind of store raises its own, and the answer is the same.
        raise WrongUse(f"'{uri}' cannot be reached: {_words(error)}.") from error
    if not found:
        raise WrongUse(f"There is nothing at '{uri}'. Check the spelling.")
    return [system.unstrip_protocol(one) for one in found]


def entries(uri: str) -> Iterator[tuple[str, str, bool]]:
    """What lies right in the folder `uri`, or the file itself: URI, name, and whether it is a folder; in order of name.

    Raises:
        UnreadableImage: it cannot be listed.
    """
    try:
        system, path = _open(uri)
        listed = sorted((one["name"].rstrip("/"), one["type"] == "directory") for one in system.ls(path, detail=True))
    except Exception as error:
        raise UnreadableImage(f"folder cannot be read: {_words(error)}") from error
    for name, is_folder in listed:
        if not (is_folder and name == path.rstrip("/")):  # Some stores list a folder in itself.
            yield system.unstrip_protocol(name), name.rpartition("/")[2], is_folder


def exists(uri: str) -> bool:
    """Whether there is anything at `uri`.

    Raises:
        UnreadableImage: it cannot be asked.
    """
    try:
        system, path = _open(uri)
        return bool(system.exists(path))
    except Exception as error:
        raise UnreadableImage(f"cannot be read: {_words(error)}") from error


def read(uri: str) -> bytes:
    """The contents of a file.

    Raises:
        UnreadableImage: it is not there, or cannot be read.
    """
    try:
        system, path = _open(uri)
        return bytes(system.cat_file(path))
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except Exception as error:
        raise UnreadableImage(f"cannot be read: {_words(error)}") from error


def state(uri: str) -> str:
    """What changes when the file at `uri` is replaced, as far as its store tells; empty if it tells nothing."""
    try:
        system, path = _open(uri)
        facts = {name.lower().replace("_", ""): value for name, value in system.info(path).items()}
    except Exception:  # That it cannot be asked is told by the one who reads it.
        return ""
    return " ".join(str(facts[name]) for name in _STATE if facts.get(name) is not None)


_STATE = ("size", "etag", "mtime", "lastmodified", "updated", "created", "generation", "modificationtime")
"""What stores call the size of a file, and the time or the number of what was written last."""


def _open(uri: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # A tenth of a second, which those with files here need not wait for.

    system, path = url_to_fs(uri)
    return system, str(path)


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
