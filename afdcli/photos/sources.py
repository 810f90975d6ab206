"""Which files a command works on: every input once, in an order that is the same on every run."""

from __future__ import annotations

import codecs
import glob
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.photos import archives, kinds, remote
from afdcli.photos.folders import Identity, Pattern, identity, is_system_folder
from afdcli.photos.kinds import has_image_ending
from afdcli.photos.source import Source as Source  # for those who import it from here


class Sources:
    """The photos that `inputs` name, each once. Go through them as often as needed: the order is always the same.

    Inputs come in the order given, folders are searched recursively and in order of name. Files are named as given, be
    it by themselves, in a list or by a pattern; those in a folder begin with the folder as given, and only those of a
    folder that is the one argument are named relative to it. In a folder, a file counts by its ending, or, where that
    is none of an image, by its first bytes. Names that begin with a dot are passed over, as elsewhere, and systems' own
    folders (`SYSTEM_FOLDERS`). Archives and tables that are named themselves are gone through, see `archives`.

    A photo that is named twice, spelled in two ways, or reached through links to files or folders comes once, by the
    first of its names. Two hard links in ordinary folders are two photos: people make data sets of them.
    """

    def __init__(
        self, inputs: Sequence[str], *, dataset: bool = False, every_file: bool = False, beside: bool = False
    ) -> None:
        """`inputs` are as for `ClassifyOptions`. Where they are one `dataset`, a photo that is all of it is named as in
        its folder: without it. With `every_file`, files in folders that are no images count too. With `beside`, and
        those of a dataset, photos in archives bring what lies beside them.

        Raises:
            WrongUse: an argument that does not exist, or a pattern that matches nothing.
        """
        self.inputs = ", ".join("the list on standard input" if text == "-" else f"'{text}'" for text in inputs)
        """The inputs as a sentence has them."""
        self.paths: list[str] = []
        """The folders, files and URIs as given, patterns matched and lists read."""
        self.passed_over = 0
        """Systems' own folders that were not searched, as of the last time through to the end."""
        self.repeated = 0
        """Links and names that led to what had come before, likewise."""
        self.other_files: Mapping[str, int] = {}
        """Files in folders that are no images, by their `kinds.ending`, likewise."""
        self._dataset, self._every_file, self._beside = dataset, every_file, beside or dataset
        self._passed_by_patterns = 0
        for text in inputs:
            self.paths += self._expand(text)
        self._alone = len(inputs) == 1 and self.paths == [*inputs]  # It is no pattern and no list.

    def __iter__(self) -> Iterator[Source]:
        """Search anew. Memory is that of one folder, and a little for each folder, link, and photo named one by one.

        Raises:
            WrongUse: at the end, if nothing was there.
        """
        return self._all(with_data=False)

    def reading(self) -> Iterator[Source]:
        """The same, to be read in this order: those in compressed archives and in tables bring their bytes."""
        return self._all(with_data=True)

    def _all(self, with_data: bool) -> Iterator[Source]:
        source = None
        for source in self._search(with_data):
            yield source
        if source is None:
            others = f" Passed over: {kinds.in_words(self.other_files)}." if self.other_files else ""
            raise WrongUse(f"There is no image in {printable(self.inputs)}.{others}")

    def _search(self, with_data: bool) -> Iterator[Source]:
        search = _Search(self._every_file)
        for given in self.paths:
            path, name = local_path(given), given
            if self._alone and self._dataset:
                name = os.path.basename(given.rstrip("/")) or given
            if (container := archives.container_of(path)) is not None:
                name = container if path == given and not (self._alone and self._dataset) else name
                name = name.rpartition("::")[2]
                yield from search.container(
                    archives.Contents(path, name, with_data, self._beside, self._every_file), container
                )
            elif os.path.isdir(path) or (remote.is_uri(path) and not has_image_ending(path)):
                prefix = "" if self._alone else given.rstrip("/") + "/"
                yield from search.folder(_Folder(path, name, prefix))
            else:
                yield from search.file(Source(path, name))
        self.passed_over = self._passed_by_patterns + search.passed_over
        self.repeated, self.other_files = search.repeated, search.other_files

    def unreadable(self) -> WrongUse:
        """What to raise where not one of them can be read, or used."""
        return WrongUse(
            f"Not one photo of {printable(self.inputs)} can be read. Look at the reasons with: afd classify"
        )

    def left_out(self) -> dict[str, Any]:
        """What gave no row, for the record of a result."""
        others = dict(sorted(self.other_files.items()))
        return {"passed_over": self.passed_over, "repeated": self.repeated, "other_files": others}

    def _expand(self, text: str) -> list[str]:
        """What one argument names.

        What a list names may be missing, and will be reported as such in its place; a missing argument is more likely
        a typing error.
        """
        path = local_path(text)
        if text == "-":
            return _listed(_standard_input())
        if os.path.lexists(path):
            return [text]
        if (chained := archives.chained(path)) is not None:
            return [chained[0] + one for one in self._expand(chained[1])]
        if len(shards := archives.unbraced(path)) > 1:
            return self._shards(shards, text)
        if remote.is_uri(path):
            matches, passed_over = remote.expand(path)
        elif glob.has_magic(path):
            pattern = Pattern(path)
            matches, passed_over = pattern.matches(), pattern.passed_over
            if path != text:
                matches = [Path(match).absolute().as_uri() for match in matches]
        else:
            raise WrongUse(f"There is no file or folder '{printable(text)}'. Check the spelling.")
        self._passed_by_patterns += passed_over
        if not matches:
            raise WrongUse(f"No file matches '{printable(text)}'.")
        return matches

    def _shards(self, shards: list[str], text: str) -> list[str]:
        """What the names that braces stand for name; a file may be missing, unless all are."""
        found = [one for shard in shards for one in (self._expand(shard) if _is_pattern(shard) else [shard])]
        if not any(remote.is_uri(one) or os.path.lexists(one) for one in found):
            raise WrongUse(f"There is no file that '{printable(text)}' names. Check the spelling.")
        return found


def _is_pattern(path: str) -> bool:
    return glob.has_magic(path) and not remote.is_uri(path) and not os.path.lexists(path)


def local_path(given: str) -> str:
    """Where `given` lies on this machine, if it is a `file:` URI of something here; else `given` itself.

    Escapes such as `%20` are undone, unless only a file that is called so is there.
    """
    if given[:5].lower() != "file:" or os.path.lexists(given):
        return given
    literal = re.sub("^file:(//(localhost(?=/))?)?", "", given, flags=re.IGNORECASE)
    path = os.fsdecode(unquote_to_bytes(os.fsencode(literal)))
    return literal if os.path.lexists(literal) and not os.path.lexists(path) else path


def _standard_input() -> bytes:
    """All that comes from standard input.

    Raises:
        WrongUse: nothing can.
    """
    reason = "it is closed"
    if sys.stdin is not None:
        try:
            return sys.stdin.buffer.read()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    raise WrongUse(f"There is no list on standard input: {reason}. Pipe one in, as in: find photos | afd classify -")


_MARKS = {  # The longer ones first: two begin alike.
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "",
}
"""What a text may begin with to tell its encoding: that encoding; none where the bytes stay as they are."""


def _listed(data: bytes) -> list[str]:
    """The paths in a list, split at NULs if it has any (`find -print0`), else at line ends."""
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    data = data.removeprefix(mark)
    if encoding := _MARKS[mark] if mark else _unmarked(data):
        data = data.decode(encoding, "replace").replace("\0", "\n").encode("utf-8", "surrogatepass")
    lines = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(line) for line in lines if line]


def _unmarked(data: bytes) -> str:
    """The UTF-16 that `data` is without saying so, or an empty text.

    Taken for a list with NULs between its names, it would name "/" and ".". Mostly every second byte is NUL; where few
    letters are Latin, the end of its last line tells. One-letter names between NULs have no slash and no line end.
    """
    names = [name for name in data.split(b"\0") if name]
    order = "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"
    by_letters = b"\0" in data and 2 * sum(len(name) == 1 for name in names) > len(names)
    by_end = len(data) % 2 == 0 and data.endswith(b"\n\0")
    if by_end or (by_letters and {"/", "\\", "\n"} & set(data.decode(order, "replace"))):
        return "utf-16-le" if by_end else order
    return ""


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    name: str
    """What it is called if it cannot be read."""
    prefix: str
    """What the names in it begin with."""


class _Search:
    """One way through all inputs, which knows what has come already.

    That takes no list of all photos: a folder is searched once, and so whatever lies in it comes once. Only photos that
    were reached otherwise, through links or named one by one, have to be remembered.
    """

    def __init__(self, every_file: bool = False) -> None:
        self.passed_over = 0
        self.repeated = 0
        self.other_files: Counter[str] = Counter()
        self._every_file = every_file
        self._reached: dict[Identity, str | None] = {}
        """The folders searched, and the name in each that its search has come to; None: it is through."""
        self._taken: defaultdict[Identity, set[str]] = defaultdict(set)
        """Photos reached otherwise: by the folder that they really lie in, their names there."""

    def folder(self, root: _Folder) -> Iterator[Source]:
        """The photos below `root`. Folders can be nested deeper than calls, so this keeps a stack of its own."""
        stack = [self._entries(root)]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, _Folder):
                stack.append(self._entries(entry))
            else:
                yield entry

    def file(self, source: Source) -> Iterator[Source]:
        """`source`, a file named by itself or a link to one, unless the photo has come already."""
        folder, name = _location(source.path)
        reached = self._reached.get(folder, "")
        was_there = (reached is None or name < reached) and not name.startswith(".")
        if name in self._taken[folder] or (was_there and self._counts(name, source.path)):
            self.repeated += 1
        else:
            self._taken[folder].add(name)
            yield source

    def container(self, contents: archives.Contents, path: str) -> Iterator[Source]:
        """The photos in the container at `path`, unless the same of it have come already."""
        folder, name = _location(path)
        name += f"\0{contents.given.removesuffix(path)}"
        if name in self._taken[folder]:
            self.repeated += 1
            return
        self._taken[folder].add(name)
        yield from contents
        self.passed_over += len(contents.system_folders)
        self.other_files += contents.other_files

    def _entries(self, folder: _Folder) -> Iterator[Source | _Folder]:
        """The photos and folders in `folder`, in order of name."""
        here = _identity(folder.path)
        if here in self._reached:
            self.repeated += 1
            return
        self._reached[here] = ""
        try:
            found, heads = _remote_listing(folder.path) if remote.is_uri(folder.path) else (_listing(folder.path), {})
        except (UnreadableImage, OSError) as error:
            reason = f"folder cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            yield Source(folder.path, folder.name, reason)
            return
        for name, path, is_folder, is_link in found:
            source = Source(path, folder.prefix + name)
            if is_folder or is_link:
                self._reached[here] = name  # Only then can a link lead back here.
            if is_folder and is_system_folder(name):
                self.passed_over += 1
            elif name.startswith("."):
                self.other_files[kinds.HIDDEN] += 1
            elif is_folder:
                if has_image_ending(name):
                    yield Source(path, source.name, "a folder, not a file")
                yield _Folder(path, source.name, source.name + "/")
            elif here == (0, path):  # A URI that is no folder is listed in itself.
                yield Source(folder.path, folder.name)
            elif not self._counts(name, path, heads.get(path)):
                self.other_files[kinds.ending(name)] += 1
            elif is_link:
                yield from self.file(source)
            elif name in self._taken.get(here, ()):
                self.repeated += 1
            else:
                yield source
        self._reached[here] = None

    def _counts(self, name: str, path: str, head: bytes | None = None) -> bool:
        """Whether the file at `path`, called `name`, is taken for a photo, by its `head` if it is an odd one."""
        if has_image_ending(name) or self._every_file:
            return True
        return kinds.may_be_image(name) and kinds.begins_as_image(_head(path) if head is None else head)


def _head(path: str) -> bytes:
    return remote.heads([path]).get(path, b"") if remote.is_uri(path) else kinds.head_of(path)


def _remote_listing(folder: str) -> tuple[list[remote.Entry], dict[str, bytes]]:
    """What is in the folder at a URI, in order of name; and, all asked for at once, how its odd files begin."""
    found = list(remote.entries(folder))
    odd = [path for name, path, is_folder, _ in found if not (is_folder or name[:1] == "." or has_image_ending(name))]
    return found, dict.fromkeys(odd, b"") | remote.heads(odd)


def _listing(folder: str) -> Iterator[remote.Entry]:
    """What is in `folder`, in order of name; once this returns, it has been read."""
    with os.scandir(folder) as listing:
        # Names alone are kept. Asking a plain file nothing saves a system call for each photo.
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in listing)
    return (
        (name, path, is_folder or (is_link and os.path.isdir(path)), is_link)
        for name, is_folder, is_link in found
        for path in [os.path.join(folder, name)]
    )


def _identity(folder: str) -> Identity:
    return (0, remote.canonical(folder)) if remote.is_uri(folder) else identity(folder)


def _location(path: str) -> tuple[Identity, str]:
    """The folder in which the file at `path` really lies, and its name there; a broken link lies where it is."""
    if remote.is_uri(path):
        folder, _, name = remote.canonical(path).rpartition("/")
        return (0, folder), name
    if os.path.islink(path) and os.path.exists(path):
        path = os.path.realpath(path)
    folder, name = os.path.split(path)
    return identity(folder or "."), name


def find_named(inputs: Sequence[str], names: Collection[str], *, dataset: bool = False) -> dict[str, str]:
    """Where the photos of `inputs` are that rows call by one of `names`: paths, see `Source`. Not all may be found.

    Raises:
        WrongUse: see `Sources`.
    """
    found: dict[str, str] = {}
    for source in Sources(inputs, dataset=dataset) if names else ():
        if not source.error and (name := printable(source.name)) in names:
            found.setdefault(name, source.path)
    return found


def printable(name: str) -> str:
    r"""`name` as text that is valid UTF-8: bytes that are not show as `\xff`, everything else stays.

    Control characters stay as well: in a CSV they are quoted. For a terminal, see `report`.
    """
    # Not by the system's encoding, which may be ASCII: what is printable already must stay so.
    return name.encode("utf-8", sys.getfilesystemencodeerrors()).decode("utf-8", "backslashreplace")
