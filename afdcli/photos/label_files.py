"""What classes are called, from a text: a name a line, or JSON as people and programs write it."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afdcli.errors import WrongUse
from afdcli.photos.labels import Labels, is_wnid

LARGEST = 16 << 20
"""Bytes of a file of labels: names of 200,000 classes."""
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What a text may begin with, and its encoding then."""
_WNID_AND_NAME = re.compile(r"(n\d{8})\s+(\S.*)")


def read_labels(path: Path) -> Labels:
    """The labels in the file at `path`, see `parse`.

    Raises:
        WrongUse: it cannot be read, or has no labels in it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError("it is too large for a list of names")
        encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
        return parse(data.decode(encoding))
    except OSError as error:
        raise WrongUse(f"--labels '{path}' cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise WrongUse(f"--labels '{path}' is no text in UTF-8. Save it as that.") from None
    except ValueError as error:
        raise WrongUse(f"--labels '{path}' cannot be used: {error}.") from None


def parse(text: str) -> Labels:
    """The labels in `text`: a name a line, perhaps with its WordNet id before it; or JSON, a list of names, or an
    object from indices to names, or from names to indices. A name in JSON may be a list, of a WordNet id and the name.

    Raises:
        ValueError: it is none of these; the text says why.
    """
    if text.lstrip()[:1] in ("[", "{"):
        try:
            content = json.loads(text)
        except (RecursionError, ValueError):
            raise ValueError("it begins like JSON, and is none") from None
        return _of(_in_order(content))
    lines = text.rstrip().splitlines()
    split = [_WNID_AND_NAME.fullmatch(line.strip()) for line in lines]
    if lines and all(split):
        return _of([list(one.groups()) for one in split if one])
    return _of(lines)


def _in_order(content: Any) -> list[Any]:
    """The names in `content`, by index."""
    if isinstance(content, list):
        return content
    if all(isinstance(value, int) and not isinstance(value, bool) for value in content.values()):
        content = _turned(content)
    indices = {int(key): name for key, name in content.items() if key.isdecimal() and len(key) < 10}
    if len(indices) != len(content) or indices.keys() != set(range(len(indices))):
        raise ValueError("its indices do not count from 0 to the last class, each once")
    return [indices[index] for index in range(len(indices))]


def _turned(content: Mapping[str, int]) -> dict[str, str]:
    found = {str(index): name for name, index in content.items()}
    if len(found) != len(content):
        raise ValueError("it gives one index to two names")
    return found


def _of(entries: list[Any]) -> Labels:
    """Labels of `entries`, each a name, or a list of a WordNet id and a name."""
    pairs = [entry if isinstance(entry, list) else [None, entry] for entry in entries]
    for number, pair in enumerate(pairs):
        texts = len(pair) == 2 and isinstance(pair[1], str) and isinstance(pair[0], str | None)
        if not texts or not pair[1].strip() or (pair[0] is not None and not is_wnid(pair[0])):
            raise ValueError(f"the entry of class {number} is no name")
    names = tuple(pair[1].strip() for pair in pairs)
    if not names:
        raise ValueError("there are no names in it")
    if all(map(is_wnid, names)):
        return Labels(names, names)
    wnids = tuple(pair[0] for pair in pairs)
    if None in wnids and set(wnids) != {None}:
        raise ValueError("some of its names have a WordNet id, and some none")
    return Labels(names, () if None in wnids else wnids)


def fitting(labels: Labels, classes: int, *, one_logit: bool = False) -> Labels:
    """`labels`, if they are as many as `classes`; of `one_logit`, a single name is that of its yes.

    Raises:
        ValueError: they are not as many.
    """
    if one_logit and len(labels.names) == 1:
        return Labels((f"not {labels.names[0]}", labels.names[0]))
    if len(labels.names) != classes:
        raise ValueError(f"there are {len(labels.names):,} labels for {classes:,} classes")
    return labels
