"""Names that are not ours, of files, labels and modules, made fit for where they are shown; and of files beside one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from afdcli.formats.codecs import CODECS
from afdcli.photos.sources import printable

MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|$~^&])")
"""What may mean something in Markdown, or in the dialects that know tables and formulas."""


WEIGHTS = {"none": "without a module", "auto": "with the module"}
"""What pictures and pages call those of the weights that are no file."""


def visible(name: str) -> str:
    r"""`name` on one line: control characters, which could move the cursor, show as `\n`, `\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in printable(name))


def in_markdown(name: str) -> str:
    """`name` as Markdown that shows just it, on one line, in a table as well."""
    return MARKDOWN.sub(r"\\\1", visible(name))


def damage_title(kind: str) -> str:
    """What a table or a picture calls a kind of damage, see `Degradation.kind`: `AVIF speed=4` for `avif speed=4`."""
    codec, blank, rest = kind.partition(" ")
    title = CODECS[codec].title if codec in CODECS else codec.replace("_", " ")
    return f"{title}{blank}{rest}"


def level_title(codec: str, quality: int | None, passes: int) -> str:
    """What a table calls a level of damage: `JPEG 10, 2 passes`."""
    if quality is None:
        return "undamaged"
    return f"{damage_title(codec)} {quality}" + f", {passes} passes" * (passes > 1)


def is_compression(kind: str) -> bool:
    """Whether this kind of damage is a codec's, with a quality, and not a corruption with a severity."""
    return kind.partition(" ")[0] in CODECS


def told_apart(names: Sequence[str]) -> dict[str, str]:
    """For each of `names`, of files, the shortest ending of its path that no other has: mostly the bare name."""
    return {name: _ending([other for other in names if other != name], name) for name in names}


def _ending(others: Sequence[str], name: str) -> str:
    for count in range(1, len(PurePath(name).parts) + 1):
        for suffix in (False, True):
            ending = _last(name, count, suffix)
            if all(_last(other, count, suffix) != ending for other in others):
                return ending
    return name


def _last(name: str, count: int, suffix: bool) -> str:
    path = PurePath(name)
    return "/".join((*path.parts[:-1], path.name if suffix else path.stem)[-count:])


def beside(output: Path) -> list[Path]:
    """The table, the pictures and the page that a comparison leaves beside the rows at `output`."""
    sizes = output.with_name(f"{output.stem}-rate.png")
    return [output.with_suffix(".md"), output.with_suffix(".png"), sizes, page_beside(output)]


def page_beside(output: Path) -> Path:
    """The page that is one of these."""
    return output.with_suffix(".html")


def rates_beside(output: Path) -> Path:
    """The rows with the rates that a comparison leaves beside the rows at `output`; they have a record of their own."""
    return output.with_name(f"{output.stem}-rate.csv")
