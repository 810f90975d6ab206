"""A field of an options object becomes a flag: nothing is declared a second time.

Values come from Typer as text, and None where the flag was not given. `build` brings them into the fields' types and
checks them, so that the command line refuses in the same words as Python; and a preset lies between a field's default
and what was given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args

import typer

from afdcli.options.fields import Field, Options, build, fields_of
from afdcli.options.rules import Commas, Completes, Parsed, Shown

Asked = TypeVar("Asked", bound=Options)
KEYWORD = inspect.Parameter.KEYWORD_ONLY
METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "FILE"}


class Given(Generic[Asked]):
    """What was given on the command line, by the fields' names."""

    def __init__(self, options: type[Asked], values: Mapping[str, Any]) -> None:
        self._options = options
        self._values = values

    def options(self, preset: Mapping[str, Any] | None = None) -> Asked:
        """The options object: of what was given, else of the `preset`, else of the defaults.

        Raises:
            WrongUse: a value is not allowed; the text names the flag.
        """
        return build(self._options, {**(preset or {}), **self._values})


def command(app: typer.Typer, options: type[Asked]) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Have `app` run the function below as a command of its name, with a flag for each field of `options`.

    The function gets a `Given` first; its other parameters are plain Typer, and shown below the fields. The command's
    help is the docstring of `options`. The function returns the exit code, or None for 0.
    """

    def register(run: Callable[..., int | None]) -> Callable[..., int | None]:
        shown = [field for field in fields_of(options) if is_flag(field)]
        own = list(inspect.signature(run, eval_str=True).parameters.values())[1:]

        def call(**values: Any) -> int | None:
            given = {field.name: values.pop(field.name) for field in shown}
            return run(Given(options, {name: one for name, one in given.items() if one is not None}), **values)

        parameters = [*map(parameter, shown), *(one.replace(kind=KEYWORD) for one in own)]
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        return app.command(run.__name__, help=options.__doc__)(call)

    return register


def is_flag(field: Field) -> bool:
    """Whether `field` becomes a flag or an argument: not where short cuts make it, or where there is no use for it."""
    return not (field.unused or field.mark(Parsed) is not None)


def parameter(field: Field) -> inspect.Parameter:
    """`field` as a parameter that Typer makes a flag of; or an argument, where its name is in capitals."""
    kind: Any = bool if field.kind is bool else Path if field.kind is Path else str
    if field.many and field.mark(Commas) is None:
        kind = list[str]
    if field.names[0].startswith("-"):
        switch = f"{field.names[0]}/--no-{field.names[0][2:]}" if field.default is True else field.names[0]
        info = typer.Option(
            switch,
            *field.names[1:],
            help=field.sentence,
            metavar=None if kind is bool else metavar(field),
            rich_help_panel=field.panel or None,
            show_default=shown_default(field),
            autocompletion=completion(field),
        )
    else:
        info = typer.Argument(
            metavar=field.names[0], help=field.sentence, show_default=False, autocompletion=completion(field)
        )
    if field.required:
        return inspect.Parameter(field.name, KEYWORD, annotation=Annotated[kind, info])
    return inspect.Parameter(field.name, KEYWORD, annotation=Annotated[kind | None, info], default=None)


def metavar(field: Field) -> str:
    """What stands for the value in `--help`: the choices, or else its kind."""
    if field.choices:
        return "|".join(field.choices)
    one = METAVARS[get_args(field.kind)[0] if field.many else field.kind]
    return f"{one},{one},..." if field.mark(Commas) is not None else one


def shown_default(field: Field) -> str | bool:
    """The default as `--help` and the docs tell it; False where there is nothing to tell."""
    if shown := field.mark(Shown):
        return shown.default
    if field.required or field.default is None or field.default is False:
        return False
    return ",".join(map(str, field.default)) if field.many else str(field.default)


def completion(field: Field) -> Callable[[str], list[str]] | None:
    """What a shell offers for the beginning of a value; None leaves it to the shell, which offers files."""
    offered = field.mark(Completes)
    names = offered.names if offered else field.choices
    return offering(names) if names else None


def offering(names: Iterable[str] | Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Completion: those of `names` that begin with what was typed so far."""

    def offer(incomplete: str) -> list[str]:
        return [name for name in (names() if callable(names) else names) if name.startswith(incomplete)]

    return offer
