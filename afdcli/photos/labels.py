"""What classes are called, and from the folder a photo lies in to its class.

By name, never by position, so that no missing class moves another. What is nearly a name is never passed over: photos
whose class somebody meant to give must not be measured without it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from afdcli.errors import WrongUse
from afdcli.photos.source import Source

_WNID = re.compile(r"n\d{8}")
NEAR = 0.85
"""How alike two names are, from 0 to 1, if one is a slip of the other: `goldfish` and `goldfsh`."""
SHORT = 4
"""Names of so many letters are like too many others."""


@dataclass(frozen=True)
class Labels:
    """The names of a classifier's classes, by index."""

    names: tuple[str, ...]
    """Readable. Two classes may share one: ImageNet has two cranes."""
    wnids: tuple[str, ...] = ()
    """WordNet ids, for classes that have them."""


def is_wnid(name: object) -> bool:
    """Whether `name` has the form of a WordNet id, such as `n01440764`."""
    return isinstance(name, str) and _WNID.fullmatch(name) is not None


def labels_of(sources: Sequence[Source], labels: Labels) -> list[int | None]:
    """The class of each source, by the name of its folder below the dataset; None throughout if no folder is a class.

    A folder stands for a class by its WordNet id, its label or its index, never by its position. A label may be given
    by any of its synonyms, in any case, with `_` or `-` for spaces, its accents composed or not.

    Raises:
        WrongUse: some folders are classes and others not, or none is and one is nearly, or a name fits two classes:
            guessing would mislabel photos.
    """
    classes = _Classes(labels)
    paths = [source.name.split("/")[:-1] for source in sources]
    found = {folder: classes.named(folder) for folder in {source.stated for source in sources}}
    if not any(found.values()):
        _check_meant_none(sources, paths, classes)
        return [None] * len(sources)
    strangers = sorted(folder for folder, fitting in found.items() if not fitting)
    if strangers:
        names = ", ".join(classes.with_near(folder) for folder in strangers[:3])
        raise WrongUse(
            f"{len(strangers)} of {len(found)} folders with photos are no class of this backbone: {names}. "
            "Name each one by WordNet id, label or index, or move it away."
        )
    for folder, fitting in found.items():
        if len(fitting) > 1:
            numbers = " or ".join(map(str, sorted(fitting)))
            raise WrongUse(f"The folder '{folder}' could be class {numbers}. Name it by its index.")
    return [min(found[source.stated]) for source in sources]


def _check_meant_none(sources: Sequence[Source], paths: Sequence[Sequence[str]], classes: _Classes) -> None:
    """Check, where no folder is a class, that none was meant to be."""
    for depth in range(1, max(map(len, paths), default=0)):
        deeper = {"/".join(path[: depth + 1]) for path in paths if len(path) > depth}
        named = sorted(one for one in deeper if classes.called(one.rpartition("/")[2]))
        if 2 * len(named) >= len(deeper):  # A few may be so by chance: an album has a folder `castle`.
            raise WrongUse(
                f"The folders that are named like classes are too deep, such as '{named[0]}'. Give the folder that "
                f"they are in, '{named[0].rpartition('/')[0]}', as the dataset."
            )
    folders = sorted({path[0] for path in paths if path})
    near = [folder for folder in folders if classes.near(folder)]
    if near:
        names = ", ".join(map(classes.with_near, near[:3]))
        raise WrongUse(
            f"No folder is named like a class, and {len(near)} of {len(folders)} nearly: {names}. Name each one by "
            "WordNet id, label or index; or otherwise altogether, to measure agreement only."
        )
    above = {source.path.replace("\\", "/").rpartition("/")[0].rpartition("/")[2] for source in sources}
    if not folders and len(above) == 1 and (name := above.pop()) in classes.labels.wnids:
        raise WrongUse(f"The photos are of one class, '{name}'. Give the folder that this one is in as the dataset.")


class _Classes:
    """The classes of `labels`, to be found by name."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._wnids = {wnid: index for index, wnid in enumerate(labels.wnids)}
        self._plain = _indexed(labels, _plain)

    def named(self, folder: str) -> set[int]:
        """The classes that a folder's name fits: by WordNet id, else by label, else by index."""
        called = self.called(folder)
        if not called and folder.isdecimal() and len(folder) < 10 and int(folder) < len(self.labels.names):
            return {int(folder)}
        return called

    def called(self, folder: str) -> set[int]:
        """The classes that a folder's name fits by WordNet id, else by label."""
        return {self._wnids[folder]} if folder in self._wnids else self._plain.get(_plain(folder), set())

    def with_near(self, folder: str) -> str:
        """`folder` for a sentence, with the class that it is near to, if there is one."""
        near = self.near(folder)
        name = f"'{folder}'" if folder else "the dataset's own folder"
        return f"{name} (near '{near}')" if near else name

    def near(self, folder: str) -> str:
        """The name of the class that `folder` nearly names; empty if it names none, nearly."""
        wnid = next((one for one in _WNID.findall(folder.casefold()) if one in self._wnids), "")
        if wnid or not folder:
            return wnid
        name, core = _letters(folder), _letters(re.sub(r"^\d*[\W_]+|[\W_]+\d*\W*$", "", folder))  # 281_tabby, tabby (2)
        slips = difflib.get_close_matches(name, self._letters, 1, NEAR) if len(name) > SHORT else []
        found = next(
            (self._letters[one] for one in (name, core, name.removesuffix("s"), *slips) if one in self._letters), None
        )
        return self.labels.names[min(found)] if found else ""

    @cached_property
    def _letters(self) -> dict[str, set[int]]:
        return _indexed(self.labels, _letters)


def _indexed(labels: Labels, simplified: Callable[[str], str]) -> dict[str, set[int]]:
    """The classes by each of their names and synonyms, `simplified`."""
    found = defaultdict[str, set[int]](set)
    for index, label in enumerate(labels.names):
        for name in (label, *label.split(",")):
            found[simplified(name)].add(index)
    return {name: indices for name, indices in found.items() if name}


def _plain(name: str) -> str:
    """What of a name counts: two texts that Unicode calls the same, in any case, are."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    return " ".join(folded.replace("_", " ").replace("-", " ").split())


def _letters(name: str) -> str:
    """Letters and digits alone, without accents, in one case."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", name.casefold()) if letter.isalnum())
