"""The flags that are no fields: short cuts for fields that take more than a value, and what only the terminal knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from afdcli.cli.flags import offering
from afdcli.options import QUALITIES, SUBSAMPLINGS, Compression
from afdcli.options.damage import levels_of
from afdcli.options.rules import OneOf


def choice(text: str, names: Iterable[str]) -> Any:
    """A short cut that takes one of `names`."""
    return typer.Option(help=text, metavar="|".join(names), autocompletion=offering(tuple(names)))


def _show_version(asked: bool) -> None:
    if asked:
        from afdcli import __version__

        typer.echo(f"afd {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", "-V", help="Show the version of afd.", callback=_show_version, is_eager=True)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]
Level = Annotated[
    list[str] | None,
    typer.Option(
        help=f"A codec ({', '.join(QUALITIES)}) and its qualities, such as webp:50,20; may be repeated.",
        metavar="CODEC:QUALITY,...",
        show_default=False,
        autocompletion=offering([f"{codec}:" for codec in QUALITIES]),
    ),
]
Subsampling = Annotated[
    str, choice("How finely the codecs keep colour: for every pixel, for half or for a quarter of them.", SUBSAMPLINGS)
]


def named(flag: str, name: str, table: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The settings called `name`; none for no name."""
    if name:
        OneOf(*table).check(flag, name)
    return table.get(name, {})


def levels(
    jpeg: Iterable[int], avif: Iterable[int], level: list[str] | None, subsampling: str
) -> tuple[Compression, ...]:
    """The levels that the short cuts name."""
    plain = [Compression(codec, one, subsampling) for codec, many in (("jpeg", jpeg), ("avif", avif)) for one in many]
    return (*plain, *levels_of(level or (), subsampling))
