"""A page that shows photos with what was found in them. It has everything inside but the pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afdcli.errors import OutputRefused
from afdcli.formats.rows import FORMATS, Csv, JsonLines, Row
from afdcli.photos.sources import printable
from afdcli.results.predictions import FACTS, QUALITY, RANKED
from afdcli.results.webpage import render

PAGE = "index.html"


def read_predictions(path: Path) -> list[Row]:
    """All rows of a result of `afd classify`, with the types of their columns.

    Raises:
        OutputRefused: the file cannot be read, or is no such result.
    """
    try:
        rows = list(_rows(path))
    except (OSError, ValueError, TypeError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "it is damaged, or of another kind"
        )
        raise OutputRefused(f"'{path}' cannot be read as rows of afd classify: {reason}.") from None
    if not rows:
        raise OutputRefused(f"'{path}' has no rows, so there is nothing to show.")
    if missing := [name for name in ("path", "status", "label_1") if name not in rows[0]]:
        raise OutputRefused(f"'{path}' has no column '{missing[0]}': it is not from afd classify.")
    return rows


def _rows(path: Path) -> Any:
    kind = FORMATS[path.suffix.lower()]
    if kind.whole is not None:
        kind.require()
        return kind.whole.read(path)
    with path.open("rb") as file:
        if kind.lines is Csv:
            head = file.readline().decode("utf-8").rstrip("\r\n")
            lines: Csv | JsonLines = Csv({name: _type(name) for name in head.split(",")})
            return [lines.decode(record) for record in lines.split(file)]
        return [json.loads(line) for line in file]


def _type(column: str) -> type:
    """The type of a column of `afd classify`, by its name; text where it is not known."""
    known = {**FACTS, **QUALITY, "drift": float}
    stem, _, rank = column.rpartition("_")
    return RANKED[stem] if rank.isdigit() and stem in RANKED else known.get(column, str)


def classes(row: Row) -> list[tuple[str, float]]:
    """The classes of a row, most probable first, as (label, probability)."""
    found: list[tuple[str, float]] = []
    while row.get(f"label_{len(found) + 1}") is not None:
        rank = len(found) + 1
        found.append((str(row[f"label_{rank}"]), float(row[f"prob_{rank}"])))
    return found


@dataclass(frozen=True, slots=True)
class Shown:
    """One photo on the page."""

    row: Row
    """What was found."""
    other: Row | None = None
    """What was found with what it is compared with."""
    path: str = ""
    """Where the photo is, empty if it was not found."""
    thumb: str = ""
    """The URL of its small picture, relative to the page; empty if there is none."""
    large: str = ""
    """The URL of one that a browser can show large, likewise."""

    def entry(self) -> dict[str, Any]:
        """What the page's script gets of it."""
        row = self.row
        facts = {name: row.get(name) for name in ("format", "width", "height", "quality", "drift")}
        return {
            "name": row["path"],
            **({"path": printable(os.path.abspath(self.path))} if os.path.exists(self.path) else {}),
            **({"error": row.get("error") or "not read"} if row["status"] != "ok" else {}),
            **{name: value for name, value in facts.items() if value is not None},
            "classes": classes(row),
            **({} if self.other is None else {"other": classes(self.other)}),
            "thumb": self.thumb,
            "large": self.large,
        }


def page(title: str, shown: Sequence[Shown], names: tuple[str, str] | None = None) -> str:
    """The page as HTML; `names` are those of the two results where they are compared."""
    content: Mapping[str, Any] = {
        "what": "photo" if names is None else "photo of another class",
        "name": names[0] if names else "",
        "other": names[1] if names else "",
        "photos": [one.entry() for one in shown],
    }
    return render("gallery", title, content, count=len(shown))
