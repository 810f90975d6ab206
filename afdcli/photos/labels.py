"""What classes are called, and from the folder a photo lies in to its class.

By name, never by position, so that no missing class moves another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from afdcli.errors import WrongUse
from afdcli.photos.source import Source


@dataclass(frozen=True)
class Labels:
    """The names of a classifier's classes, by index."""

    names: tuple[str, ...]
    """Readable. Two classes may share one: ImageNet has two cranes."""
    wnids: tuple[str, ...] = ()
    """WordNet ids, for classes that have them."""


def labels_of(sources: Sequence[Source], labels: Labels) -> list[int | None]:
    """The class of each source, by the name of its folder below the dataset; None throughout if no folder is a class.

    A folder stands for a class by its WordNet id, its label or its index, never by its position. A label may be given
    by any of its synonyms, in any case, with `_` or `-` for spaces.

    Raises:
        WrongUse: some folders are classes and others not, or a name fits two classes: guessing would mislabel photos.
    """
    folders = {source.stated for source in sources}
    found = {folder: _classes_named(folder, labels) for folder in folders}
    if not any(found.values()):
        return [None] * len(sources)
    strangers = sorted(folder for folder, classes in found.items() if not classes)
    if strangers:
        names = ", ".join(f"'{folder}'" if folder else "the dataset's own folder" for folder in strangers[:3])
        raise WrongUse(
            f"{len(strangers)} of {len(folders)} folders with photos are no class of this backbone: {names}. "
            "Name each one by WordNet id, label or index, or move it away."
        )
    for folder, classes in found.items():
        if len(classes) > 1:
            numbers = " or ".join(map(str, sorted(classes)))
            raise WrongUse(f"The folder '{folder}' could be class {numbers}. Name it by its index.")
    return [min(found[source.stated]) for source in sources]


def _classes_named(folder: str, labels: Labels) -> set[int]:
    """The classes that a folder's name fits: by WordNet id, else by label, else by index."""
    if folder in labels.wnids:
        return {labels.wnids.index(folder)}
    name = _plain(folder)
    named = {index for index, label in enumerate(labels.names) if name in map(_plain, [label, *label.split(",")])}
    if not named and name.isdecimal() and int(name) < len(labels.names):
        return {int(name)}
    return named


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", " ").replace("-", " ")
