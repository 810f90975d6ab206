"""What an option is: a name, a type with its rules and its sentence, and a default. It is declared once, as a field.

    @dataclass(frozen=True)
    class ReadOptions(Options, panel="Reading"):
        max_pixels: Annotated[int, AtLeast(1), Doc("Refuse images that have more pixels than this.")] = 250_000_000

From that follow the check here, the flag with its help and its completion (`cli.flags`), the line in the docs, and the
entry in the JSON beside a result. Fields that several commands share stand in an options object of their own: a command
has it as a field, whose name then is the group's, or inherits from it.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from inspect import get_annotations
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_doc import Doc

from afdcli.errors import WrongUse
from afdcli.options.rules import Commas, Named, OneOf, Panel, Parsed, Rule, SameRows, Without, nearest, split_commas

Made = TypeVar("Made", bound="Options")
Mark = TypeVar("Mark")


@dataclass(frozen=True)
class Field:
    """All that is declared about one field."""

    name: str
    kind: Any
    """Its type, without None."""
    optional: bool
    """Whether it may be None."""
    default: Any
    """`dataclasses.MISSING` where a value must be given."""
    marks: tuple[object, ...]
    """Its rules, its sentence, and the rest of what `Annotated` says."""
    heading: str
    """That of its options object."""
    group: str = ""
    """The field of the command's options that holds it; empty where that is the command's options themselves."""
    unused: bool = False
    """Whether the command has no use for it, see `Without`."""

    def mark(self, kind: type[Mark]) -> Mark | None:
        """What the declaration says of this kind; None if nothing."""
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)

    @property
    def rules(self) -> list[Rule]:
        """What its value must be, in the order to check."""
        return [mark for mark in self.marks if isinstance(mark, Rule)]

    @property
    def sentence(self) -> str:
        """What it does to what the user gets."""
        doc = self.mark(Doc)
        return doc.documentation if doc else ""

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is MISSING

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called on the command line: flags, the long one first; or an argument, in capitals."""
        if named := self.mark(Named):
            return named.names
        return (self.name.upper(),) if self.required else (f"--{self.name.replace('_', '-')}",)

    @property
    def many(self) -> bool:
        """Whether it has several values."""
        return get_origin(self.kind) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """Those of `OneOf`; empty where anything else decides."""
        rule = self.mark(OneOf)
        return rule.choices if rule else ()

    @property
    def panel(self) -> str:
        """The heading of `--help` that it is shown below; empty for the common one."""
        panel = self.mark(Panel)
        return panel.heading if panel else self.heading

    def checked(self, value: Any) -> Any:
        """`value` in the field's own type: a list as a tuple, a text as the number or the path that it stands for.

        Raises:
            WrongUse: it is not of that type, or breaks a rule.
        """
        if value is None and self.optional:
            return None
        if parsed := self.mark(Parsed):
            value = parsed.parse(value)
        elif self.many:
            kind = get_args(self.kind)[0]
            value = tuple(_typed(self.names[0], one, kind) for one in self._parts(value))
        else:
            value = _typed(self.names[0], value, self.kind)
        for rule in self.rules:
            for one in value if self.many and not rule.of_all else (value,):
                rule.check(self.names[0], one)
        return value

    def _parts(self, value: Any) -> Iterable[Any]:
        if isinstance(value, str) and self.mark(Commas) is not None and not os.path.exists(value):
            return split_commas(self.names[0], value)
        is_one = isinstance(value, str | os.PathLike) or not isinstance(value, Iterable)
        return (value,) if is_one else tuple(value)


class Options:
    """The base of all options objects, which are frozen dataclasses. Its fields are checked when it is made."""

    heading: ClassVar[str] = ""

    def __init_subclass__(cls, panel: str = "") -> None:
        """`panel` is the heading of `--help` that the fields declared in this class are shown below."""
        cls.heading = panel

    def __post_init__(self) -> None:
        """Bring each value into its field's type, and apply the rules.

        Raises:
            WrongUse: a value is not allowed; the text names the flag.
        """
        for field in _declared(type(self)):
            object.__setattr__(self, field.name, field.checked(getattr(self, field.name)))


def fields_of(options: type[Any]) -> tuple[Field, ...]:
    """The fields of a command's options, in order, those of a group in the place of the group."""
    found: list[Field] = []
    for field in _declared(options):
        if not _is_group(field):
            found.append(field)
            continue
        without = field.mark(Without)
        unused = without.names if without else ()
        for one in _declared(field.kind):
            default = getattr(field.default, one.name)
            found.append(replace(one, default=default, group=field.name, unused=one.name in unused))
    return tuple(found)


def build(options: type[Made], given: Mapping[str, Any]) -> Made:
    """The options of a command of what was `given`, by name, a group's fields among them; the rest has its default.

    Raises:
        WrongUse: a value is not allowed, or there is no such name; the text has the nearest.
    """
    groups = {field.name: field.default for field in _declared(options) if _is_group(field)}
    values = {name: value for name, value in given.items() if name in groups}
    parts: dict[str, dict[str, Any]] = {name: {} for name in groups}
    owners = {field.name: field.group for field in fields_of(options)}
    for name, value in given.items():
        if name in groups:
            continue
        if name not in owners:
            raise WrongUse(f"There is no option '{name}'{nearest(name, owners)}.")
        (parts[owners[name]] if owners[name] else values)[name] = value
    for group, own in parts.items():
        if own:
            values[group] = replace(values.get(group, groups[group]), **own)
    return options(**values)


def flat(options: Options) -> dict[str, Any]:
    """Every value of a command's options by its field's name, those of groups among them."""
    return {
        field.name: getattr(getattr(options, field.group) if field.group else options, field.name)
        for field in fields_of(type(options))
    }


def settings_of(options: Options) -> dict[str, Any]:
    """What decides the rows: all but the fields marked `SameRows`, those of a group in a dictionary of their own."""
    free = {field.name for field in _declared(type(options)) if field.mark(SameRows)}
    return {name: value for name, value in asdict(options).items() if name not in free}  # type: ignore[call-overload]


_known: dict[type[Any], tuple[Field, ...]] = {}


def _declared(options: type[Any]) -> tuple[Field, ...]:
    """The fields that the dataclass `options` has itself, groups as one each."""
    if options not in _known:  # Annotations are read once: options objects are made by the thousand.
        hints = get_type_hints(options, include_extras=True)
        classes = [one for one in reversed(options.__mro__) if issubclass(one, Options)]
        headings = {name: one.heading for one in classes for name in get_annotations(one)}
        _known[options] = tuple(
            _field(one.name, hints[one.name], one.default, headings[one.name])
            for one in sorted(fields(options), key=lambda one: one.kw_only is True)  # as they are given from Python
        )
    return _known[options]


def _field(name: str, hint: Any, default: Any, heading: str) -> Field:
    marks: tuple[object, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        marks = tuple(rest)
    optional = False
    if get_origin(hint) in (Union, UnionType):
        kinds = [one for one in get_args(hint) if one is not type(None)]
        optional = len(kinds) < len(get_args(hint))
        hint = (
            kinds[0] if len(kinds) == 1 else str if str in kinds else object
        )  # `Path | str` is text on a command line
    return Field(name, hint, optional, default, marks, heading)


def _is_group(field: Field) -> bool:
    return isinstance(field.kind, type) and issubclass(field.kind, Options)


def _typed(flag: str, value: Any, kind: Any) -> Any:
    """`value` as one of `kind`: what the command line gives as text is taken from Python as it is, or as text."""
    if kind is bool and not isinstance(value, bool):
        raise WrongUse(f"{flag} is either given or not, True or False in Python, and cannot be '{value}'.")
    if kind in (int, float):
        return _number(flag, value, kind)
    if kind in (str, Path):
        if not isinstance(value, str | os.PathLike):
            raise WrongUse(f"{flag} must be text, not '{value}'.")
        return Path(value) if kind is Path else os.fspath(value)
    return value


def _number(flag: str, value: Any, kind: type) -> Any:
    try:
        if isinstance(value, bool):
            raise TypeError
        if kind is int:
            return int(value) if isinstance(value, str) else operator.index(value)
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise WrongUse(f"{flag} must be a {'whole ' * (kind is int)}number, not '{value}'.") from None
    if not math.isfinite(number):
        raise WrongUse(f"{flag} must be a number, not '{value}'.")
    return number
