"""Photos in containers: archives, shards of WebDataset, tables. `shard.tar/key.jpg` is one, and nothing is unpacked.

What is opened by others is an address: the container's path or URI, a NUL, which neither has, and the place in it. What
lies beside a photo under its key, as WebDataset has it (`key.cls`, `key.json`), may say its class.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.formats.containers import CONTAINERS, kind_of
from afdcli.formats.members import CUT_OFF, Member
from afdcli.photos import kinds, remote
from afdcli.photos.folders import is_system_folder
from afdcli.photos.kinds import has_image_ending
from afdcli.photos.source import Source

MOST_BESIDE = 1 << 20
"""What lies beside a photo is read up to so many bytes."""
TOGETHER = 64
"""Members with one key that are looked at together, at most."""
LABELS = ("label", "cls", "class", "class_id", "label_id", "target")
"""What JSON beside a photo calls its class."""
_CHAINED = re.compile(rf"({'|'.join(CONTAINERS)})://(.*?)::", re.DOTALL)
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
MOST_SHARDS = 1_000_000
"""Braces that stand for more names than this are taken for part of a name."""


def chained(given: str) -> tuple[str, str] | None:
    """Of an address such as `zip://*.jpg::s3://bucket/a.zip`, what is before the container, and it; else None."""
    match = _CHAINED.match(given)
    return None if match is None else (match.group(0), given[match.end() :])


def container_of(given: str) -> str | None:
    """The path or URI of the container that `given` names, chained or not; None if it names another thing."""
    if (parts := chained(given)) is not None:
        return parts[1]
    if kind_of(given) is None or (not remote.is_uri(given) and not os.path.isfile(given)):
        return None
    return given


def unbraced(text: str) -> list[str]:
    """The names that `text` stands for: `{000..127}` and `{a,b}` are each of these, as in WebDataset and in shells."""
    pieces, end, count = list[list[str]](), 0, 1
    for match in _BRACES.finditer(text):
        first, last, several = match.groups()
        if several is not None:
            choices = several.split(",")
        else:
            width, numbers = len(first), (int(first), int(last))
            if abs(numbers[1] - numbers[0]) >= MOST_SHARDS:
                return [text]
            step = 1 if numbers[0] <= numbers[1] else -1
            choices = [f"{number:0{width}}" for number in range(numbers[0], numbers[1] + step, step)]
        count *= len(choices)
        pieces += [[text[end : match.start()]], choices]
        end = match.end()
    return ["".join(one) for one in product(*pieces, [text[end:]])] if 1 < count <= MOST_SHARDS else [text]


def is_address(path: str) -> bool:
    """Whether `path` is that of a member."""
    return "\0" in path


def outside(path: str) -> str:
    """The container of the member at the address `path`; `path` itself if it is no member's."""
    return path.partition("\0")[0]


def check_any_order(paths: Iterable[str]) -> None:
    """Check that photos at `paths` can be read in any order.

    Raises:
        WrongUse: one is in a compressed archive.
    """
    found = next((path for path in paths if is_address(path) and path.endswith(" ")), None)
    if found is not None:
        raise WrongUse(
            f"'{outside(found)}' is compressed, and photos are drawn from it in any order. Make a plain .tar of it, or"
            " unpack it: photos hardly get smaller."
        )


def addresses(path: Path) -> dict[str, str]:
    """The members of the container at `path`, in order, and their addresses; none if it is not there, or damaged."""
    kind, found = kind_of(path.name), dict[str, str]()
    if kind is None or not path.is_file():
        return {}
    with path.open("rb") as file:
        for member in CONTAINERS[kind].members(file):
            if member.error:
                return {}
            found[member.name] = f"{path}\0{kind} {member.place}"
    return found


def read(address: str, *, empty: bool = False) -> bytes:
    """The bytes of the member at an address; there may be none if it may be `empty`.

    Raises:
        UnreadableImage: it is damaged, its container is gone, or it can only be come to by going through that.
    """
    path, _, rest = address.partition("\0")
    kind, _, place = rest.partition(" ")
    if not place:
        raise UnreadableImage("in a compressed archive, which cannot be read in another order; make one without")
    with _opened(path, at_once=False) as file:
        data = CONTAINERS[kind].read(file, place)
    if not data and not empty:
        raise UnreadableImage("the file is empty")
    return data


def _opened(path: str, at_once: bool) -> AbstractContextManager[BinaryIO]:
    """The file at a path or URI, to be read `at_once` or only in places.

    Raises:
        UnreadableImage: it cannot be.
    """
    if remote.is_uri(path):
        return remote.opened(path, at_once)
    try:
        return open(path, "rb")  # noqa: PTH123  # as URIs are, a text
    except OSError as error:
        raise UnreadableImage(f"its archive cannot be read: {error.strerror}") from None


@dataclass
class Contents:
    """The photos in one container, in its order. Go through them once, and see then what was left out."""

    given: str
    """The container's path or URI, or an address that is chained to it."""
    name: str
    """What the container is called."""
    with_data: bool = False
    """Whether photos bring their bytes where going through is the best way, or the only one, to have them."""
    beside: bool = False
    """Whether what lies beside them under their key is read, and says their class."""
    every_file: bool = False
    """Whether members that are no images count too."""
    other_files: Counter[str] = field(default_factory=Counter)
    """Members that are no images, and lie beside none, by their ending."""
    system_folders: set[str] = field(default_factory=set)
    """Systems' own folders, which were passed over."""

    def __iter__(self) -> Iterator[Source]:
        head, path = chained(self.given) or ("", self.given)
        kind = head.partition(":")[0] or kind_of(path) or ""
        matches = _matcher(head.partition("://")[2].removesuffix("::"))
        group = _Group("", self)
        try:
            with _opened(path, at_once=True) as file:
                for member in CONTAINERS[kind].members(file):
                    if not member.name:
                        yield from group.sources()
                        group = _Group("", self)
                        yield Source(path, self.name, member.error)
                    elif matches(member.name) and not self._is_hidden(member.name):
                        key = _key(member.name)
                        if key != group.key or len(group.photos) >= TOGETHER:
                            yield from group.sources()
                            group = _Group(key, self)
                        group.add(member, f"{path}\0{kind} {member.place}")
            yield from group.sources()
        except UnreadableImage as error:
            yield Source(path, self.name, str(error))
        except Exception as error:  # Disks and stores fail as they like.
            yield Source(path, self.name, f"its archive cannot be read: {remote.words(error)}")

    def _is_hidden(self, name: str) -> bool:
        """Whether a member is passed over for its name, as files are in folders; if so, it is counted."""
        *folders, last = _parts(name) or [""]
        for number, folder in enumerate(folders):
            if is_system_folder(folder):
                self.system_folders.add("/".join(folders[: number + 1]))
                return True
        hidden = any(part.startswith(".") for part in (*folders, last))
        self.other_files[kinds.HIDDEN] += hidden
        return hidden


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".", "..")]


def _key(name: str) -> str:
    """What members that belong together share: the path up to the first dot of the last name."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _stated(member: Member) -> str:
    """The class that a member's container gives it: by a table's column, or else by the first folder it is in."""
    if member.label is not None:
        return member.label
    parts = _parts(member.name)
    return parts[0] if len(parts) > 1 else ""


def _label_in(beside: list[tuple[str, bytes]]) -> str | None:
    """The class that lies beside a photo, as WebDataset has it."""
    found = dict(beside)
    try:
        if "cls" in found:
            return found["cls"].decode().strip()
        stated: Any = json.loads(found.get("json", b"null"))
    except ValueError:
        return None
    values = (stated.get(name) for name in LABELS) if isinstance(stated, dict) else ()
    return next((str(value) for value in values if isinstance(value, int | str) and not isinstance(value, bool)), None)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a member's name fits `pattern`: all of it, and `*` stays in a folder, but `**`; an empty one fits all."""
    pattern = pattern.strip("/")
    if not pattern or pattern == "**":
        return lambda name: True
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]+\])", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(wild.get(part, part if part[:1] == "[" and len(part) > 2 else re.escape(part)) for part in parts)
    # What a pattern matches may be a folder, and then all in it is meant.
    fits = re.compile(f"{text}(?:/.*)?", re.DOTALL)
    return lambda name: name == pattern or fits.fullmatch(name) is not None


class _Group:
    """Members one after the other that share their key: photos, and what lies beside them."""

    def __init__(self, key: str, contents: Contents) -> None:
        self.key = key
        self.photos: list[Source] = []
        self._contents = contents
        self._others: list[str] = []
        self._beside: list[tuple[str, bytes]] = []

    def add(self, member: Member, address: str) -> None:
        """Take a member in; its bytes are read now or not at all, where it has to be so."""
        contents = self._contents
        source = Source(address, f"{contents.name}/{member.name}", member.error, b"", member.name, _stated(member))
        if member.error and (has_image_ending(member.name) or member.error == CUT_OFF or contents.every_file):
            self.photos.append(source)
        elif not member.error and self._counts(member):
            self.photos.append(self._with_data(source, member))
        else:
            self._others.append(member.name)
            if contents.beside and member.begin is not None:
                data = member.begin(MOST_BESIDE + 1)
                if len(data) <= MOST_BESIDE:
                    self._beside.append((member.name[len(self.key) + 1 :], data))

    def _counts(self, member: Member) -> bool:
        if self._contents.every_file or has_image_ending(member.name) or member.is_photo:
            return True
        if member.begin is None or not kinds.may_be_image(member.name):
            return False
        return kinds.begins_as_image(member.begin(kinds.HEAD))

    def _with_data(self, source: Source, member: Member) -> Source:
        if member.whole is None or not (self._contents.with_data or not member.place):
            return source
        try:
            data = member.whole()
        except UnreadableImage as error:
            return replace(source, error=str(error))
        if not data:
            return replace(source, error="the file is empty")
        return replace(source, data=data) if self._contents.with_data else source

    def sources(self) -> Iterator[Source]:
        """The photos, each with what lies beside them all."""
        if not self.photos:
            self._contents.other_files.update(map(kinds.ending, self._others))
        label = _label_in(self._beside)
        for photo in self.photos:
            yield replace(photo, beside=tuple(self._beside), label=photo.label if label is None else label)
