"""The flags that are no fields: short cuts for fields that take more than a value, and what only the terminal knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from afdcli.cli.flags import offering
from afdcli.formats.codecs import CODECS, scales, settings_told
from afdcli.options import PRESETS, RECIPES, SUBSAMPLINGS, Compression
from afdcli.options.damage import SHIFT, levels_of, whole_numbers
from afdcli.options.rules import OneOf


def _choice(text: str, names: Iterable[str]) -> Any:
    """A flag that takes one of `names`."""
    return typer.Option(help=text, metavar="|".join(names), autocompletion=offering(tuple(names)))


def _qualities(text: str) -> Any:
    """A flag that takes qualities, with commas between them."""
    return typer.Option(help=text, metavar="QUALITY,QUALITY,...")


def _quality(text: str) -> Any:
    """A flag that takes a quality."""
    return typer.Option(help=text, metavar="QUALITY")


def _show_version(asked: bool) -> None:
    if asked:
        from afdcli import __version__

        typer.echo(f"afd {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", "-V", help="Show the version of afd.", callback=_show_version, is_eager=True)
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error that nobody foresaw, instead of keeping it.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")]
Level = Annotated[
    list[str] | None,
    typer.Option(
        help=f"A codec and its qualities, such as webp:50,20; may be repeated. Codecs are {scales()}. What else its"
        f" encoder is told comes after another colon, such as avif:30:speed=4,subsampling=4:4:4: {settings_told()}.",
        metavar="CODEC:QUALITY,...[:SETTING=VALUE,...]",
        show_default=False,
        autocompletion=offering([f"{codec}:" for codec in CODECS]),
    ),
]
Subsampling = Annotated[
    str, _choice("How finely the codecs keep colour: for every pixel, for half or for a quarter of them.", SUBSAMPLINGS)
]
Preset = Annotated[
    str, _choice("A protocol of the literature, whose settings hold where no other flag is given.", PRESETS)
]
Recipe = Annotated[
    str, _choice("Settings of module and losses by name, which hold where no other flag is given.", RECIPES)
]
JpegQualities = Annotated[str, _qualities("The JPEG qualities to measure, such as 25,18,15,10,7.")]
AvifQualities = Annotated[str, _qualities("The AVIF qualities to measure, such as 50,40,30,20,10.")]
JpegEach = Annotated[list[str] | None, _quality("Make copies at this JPEG quality factor; may be repeated.")]
AvifEach = Annotated[list[str] | None, _quality("Make copies at this AVIF quality; may be repeated.")]
JpegFirst = Annotated[str, _quality("Compress the photo first, at this JPEG quality factor.")]
AvifFirst = Annotated[str, _quality("Compress the photo first, at this AVIF quality.")]
JpegSequence = Annotated[
    str, _qualities("Make copies that went through JPEG at these qualities, one after the other, such as 25,10,7.")
]
Passes = Annotated[
    int,
    typer.Option(
        help="How often each photo is saved, all but the last time at a quality drawn from those given.",
        metavar="INTEGER",
    ),
]
Shift = Annotated[bool, typer.Option("--shift", help=SHIFT)]


def _ask_for_no_photos(context: typer.Context, asked: bool) -> bool:
    for one in context.command.params if asked else ():
        one.required = False
    return asked


ListTaps = Annotated[
    bool,
    typer.Option(
        "--list-taps",
        help="Print the places in --backbone that --tap can name, and train nothing: no photos are needed.",
        callback=_ask_for_no_photos,
        is_eager=True,
    ),
]


def named(flag: str, name: str, table: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The settings called `name`; none for no name."""
    if name:
        OneOf(*table).check(flag, name)
    return table.get(name, {})


def levels(
    jpeg: str, avif: str, level: list[str] | None, subsampling: str, flag: str = "--qf"
) -> tuple[Compression, ...]:
    """The levels that the short cuts name; `flag` is that of `jpeg`. Qualities have commas between them."""
    plain = [Compression("jpeg", one, subsampling) for one in whole_numbers(flag, jpeg)]
    plain += [Compression("avif", one, subsampling) for one in whole_numbers("--avif", avif)]
    return (*plain, *levels_of(level or (), subsampling))
