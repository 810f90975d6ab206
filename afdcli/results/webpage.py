"""Pages that open by a double click, without a server: a template, its style and its script become one file.

A page's policy allows it no remote sources, and of styles and scripts only its own. What is in it of others, names and
labels, is data that its script shows as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "pages"
SHARED = "base"
"""What the templates, styles and scripts of all pages begin with."""


def render(name: str, title: str, content: Any, count: int) -> str:
    """The page that is called `name` in `pages/`, as HTML: of `count` photos, `content` being what its script gets."""
    import jinja2

    parts = {
        part: "".join((PAGES / f"{one}.{ending}").read_text("utf-8") for one in (SHARED, name))
        for part, ending in (("style", "css"), ("script", "js"))
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    page = environment.get_template(f"{name}.html").render(
        title=title,
        count=count,
        data=_as_script(content),
        **parts,
        **{f"{part}_hash": _digest(text) for part, text in parts.items()},
    )
    return page.encode("utf-8", "backslashreplace").decode()  # a name may have half a pair of surrogates


def _as_script(content: Any) -> str:
    """JSON that may stand inside a script element: with no `<`, nothing in it ends the element or begins another."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _digest(text: str) -> str:
    """What a page's policy knows an inline part by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
