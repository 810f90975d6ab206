"""Photos that lie elsewhere: in object stores and on servers, by URI, through fsspec.

Which kinds there are, and where their keys and settings come from, is fsspec's matter: s3://, gs://, az://, hdfs://,
http:// and more, some with a package of their own (s3fs, gcsfs, ...).
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, cast

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.photos.folders import is_system_folder
from afdcli.photos.kinds import HEAD


def is_uri(text: str) -> bool:
    """Whether `text` is a URI, and not a path on this machine."""
    return "://" in text and not os.path.lexists(text)


Entry = tuple[str, str, bool, bool]
"""Something in a folder: its name, its path or URI, whether it is a folder, whether it is a link to a file."""


def expand(uri: str) -> tuple[list[str], int]:
    """What `uri` names, and how many systems' own folders were passed over: itself, or else, as a pattern, what matches
    it, in order of name. As with `Pattern`, a folder that exists is no pattern.

    Raises:
        WrongUse: nothing is there, or it cannot be asked.
    """
    try:
        system, path = _open(uri)
        if system.exists(path):
            return [uri], 0
        found = _matches(system, path) if glob.has_magic(path) else []
    except Exception as error:  # Each kind of store raises its own, and the answer is the same.
        raise WrongUse(f"'{uri}' cannot be reached: {words(error)}.") from error
    if not found:
        raise WrongUse(f"There is nothing at '{uri}'. Check the spelling.")
    named = path.split("/")
    own = {match: [p for p in match.split("/") if is_system_folder(p) and p not in named] for match in found}
    passed_over = {match[: match.index(parts[0])] + parts[0] for match, parts in own.items() if parts}
    return [_uri(uri, system, match) for match, parts in own.items() if not parts], len(passed_over)


def _matches(system: Any, path: str) -> list[str]:
    """What matches `path`: its longest beginning that exists as it is, and so the brackets of the rest, if they can."""
    parts = path.split("/")
    first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    known = max((n for n in range(first + 1, len(parts)) if system.exists("/".join(parts[:n]))), default=first)
    begin, rest = glob.escape("/".join(parts[:known])), "/".join(["", *parts[known:]] if known else parts)
    return sorted(system.glob(begin + rest.replace("[", "[[]")) or system.glob(begin + rest))


def entries(uri: str) -> Iterator[Entry]:
    """What lies right in the folder `uri`, or the file itself, in order of name. Links are not told apart.

    Raises:
        UnreadableImage: it cannot be listed.
    """
    try:
        system, path = _open(uri)
        listed = sorted((one["name"].rstrip("/"), one["type"] == "directory") for one in system.ls(path, detail=True))
    except Exception as error:
        raise UnreadableImage(f"folder cannot be read: {words(error)}") from error
    return (
        (name.rpartition("/")[2], _uri(uri, system, name), is_folder, False)
        for name, is_folder in listed
        if not (is_folder and name == path.rstrip("/"))  # Some stores list a folder in itself.
    )


def canonical(uri: str) -> str:
    """`uri` in the one way to spell it that its kind of store has; as it is, if that cannot be asked."""
    try:
        system, path = _open(uri)
        return _uri(uri, system, path).rstrip("/")
    except Exception:  # Whoever reads it will be told.
        return uri


def exists(uri: str) -> bool:
    """Whether there is anything at `uri`.

    Raises:
        UnreadableImage: it cannot be asked.
    """
    try:
        system, path = _open(uri)
        return bool(system.exists(path))
    except Exception as error:
        raise UnreadableImage(f"cannot be read: {words(error)}") from error


def read(uri: str) -> bytes:
    """The contents of a file.

    Raises:
        UnreadableImage: it is not there, or cannot be read.
    """
    try:
        system, path = _open(uri)
        return bytes(system.cat_file(path))
    except MemoryError:
        raise UnreadableImage("not enough memory to read it") from None
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except Exception as error:
        raise UnreadableImage(f"cannot be read: {words(error)}") from error


def opened(uri: str, at_once: bool) -> AbstractContextManager[BinaryIO]:
    """The file at `uri`, to be read from its beginning to its end, `at_once`, or else only in a few places.

    Raises:
        UnreadableImage: it is not there, or cannot be read.
    """
    try:
        system, path = _open(uri)
        return cast(
            AbstractContextManager[BinaryIO], system.open(path, "rb", cache_type="readahead" if at_once else "none")
        )
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except Exception as error:
        raise UnreadableImage(f"cannot be read: {words(error)}") from error


def heads(uris: Sequence[str]) -> dict[str, bytes]:
    """The first bytes of files of one store, asked for together; none where one cannot be read, or is empty."""
    if not uris:
        return {}
    try:
        system = _open(uris[0])[0]
        found = system.cat_ranges([_open(uri)[1] for uri in uris], 0, HEAD, on_error="return")
    except Exception:  # They are counted with those that are no images.
        return {}
    return {uri: bytes(data) for uri, data in zip(uris, found, strict=True) if isinstance(data, bytes)}


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


def _uri(uri: str, system: Any, path: str) -> str:
    """The URI of `path` in the store that `uri` is of; of a chain, `simplecache::s3://a`, with its other half."""
    head, chained, rest = uri.partition("::")
    if not chained:
        return str(system.unstrip_protocol(path))
    if "://" in head:
        return f"{head.partition('://')[0]}://{path.lstrip('/')}::{rest}"
    return f"{head}::{_uri(rest, system.fs, path)}"


def words(error: Exception) -> str:
    """What `error` says, on one line, to be gone on with."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
