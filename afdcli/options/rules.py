"""What a declaration can say of an option, beside its sentence: rules that its value must keep to, and marks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from afdcli.errors import WrongUse


class Rule:
    """What a value must be. Of a field with several values, each of them; or all together, if the rule is `of_all`."""

    of_all: ClassVar[bool] = False

    def refusal(self, value: Any) -> str:
        """What to say after the flag's name, such as "must be 1 or more, not 0"; empty where `value` is allowed."""
        raise NotImplementedError

    def check(self, flag: str, value: Any) -> None:
        """Refuse `value`, in a sentence that begins with `flag`.

        Raises:
            WrongUse: it is not allowed.
        """
        if reason := self.refusal(value):
            raise WrongUse(f"{flag} {reason}.")


class OneOf(Rule):
    """One of a few names. `--help` shows them, and completion offers them."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def refusal(self, value: str) -> str:
        """Names those allowed and, where one is much like `value`, the nearest."""
        if value in self.choices:
            return ""
        return f"must be one of {', '.join(self.choices)}, not '{value}'{nearest(str(value), self.choices)}"


@dataclass(frozen=True)
class AtLeast(Rule):
    """A number that is not below `least`."""

    least: float

    def refusal(self, value: float) -> str:
        """Names the least."""
        return "" if value >= self.least else f"must be {self.least} or more, not {value}"


@dataclass(frozen=True)
class MoreThan(Rule):
    """A number above `bound`."""

    bound: float

    def refusal(self, value: float) -> str:
        """Names the bound."""
        return "" if value > self.bound else f"must be more than {self.bound}, not {value}"


@dataclass(frozen=True)
class Between(Rule):
    """A number from `least` to `most`, both included."""

    least: float
    most: float

    def refusal(self, value: float) -> str:
        """Names both ends."""
        return "" if self.least <= value <= self.most else f"must lie between {self.least} and {self.most}, not {value}"


class EndsIn(Rule):
    """A path whose name has one of these endings, in capitals or not; or one that is `also` allowed."""

    def __init__(self, *endings: str, also: Path | None = None) -> None:
        self.endings, self.also = endings, also

    def refusal(self, value: Path) -> str:
        """Names the endings."""
        return (
            ""
            if value.suffix.lower() in self.endings or value == self.also
            else f"must end in {' or '.join(self.endings)}, not '{value.name}'"
        )


class NotEmpty(Rule):
    """At least one value."""

    of_all = True

    def refusal(self, value: tuple[Any, ...]) -> str:
        """Asks for one."""
        return "" if value else "takes at least one value"


class Once(Rule):
    """No value twice."""

    of_all = True

    def refusal(self, value: tuple[Any, ...]) -> str:
        """Names what is there twice."""
        twice = [str(one) for one in dict.fromkeys(value) if value.count(one) > 1]
        return f"takes each value once, and has {', '.join(twice)} twice" if twice else ""


class Commas:
    """Several values are given as one text, with commas between them: `--passes 1,2,5`."""


class SameRows:
    """Whatever its value, the rows are the same: an interrupted result can be gone on with under another one."""


@dataclass(frozen=True)
class Panel:
    """The heading of `--help` that the field is shown below, if not that of its options object."""

    heading: str


@dataclass(frozen=True)
class Shown:
    """How the default is told in `--help` and in the docs, where its value alone would say little."""

    default: str


class Named:
    """What the field is called on the command line, if not `--` and its name: flags; or an argument, in capitals."""

    def __init__(self, *names: str) -> None:
        self.names = names


@dataclass(frozen=True)
class Completes:
    """Names that completion offers, though other values are allowed too: themselves, or what finds them when asked."""

    names: tuple[str, ...] | Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Parsed:
    """The value may be given as text, which `parse` reads. It has no flag of its own: short cuts make it."""

    parse: Callable[[Any], Any]


class Without:
    """Of a field that is a group: the names of those of its fields that this command has no use for, and no flag."""

    def __init__(self, *names: str) -> None:
        self.names = names


def nearest(name: str, choices: Iterable[str]) -> str:
    """The end of a refusal, without its full stop: which of `choices` is most like `name`. Empty if none is."""
    found = difflib.get_close_matches(name, list(choices), 1)
    return f". The nearest is '{found[0]}'" if found else ""


def split_commas(flag: str, text: str) -> list[str]:
    """The values in `text`, which have commas between them and may have blanks around them; none in an empty one.

    Raises:
        WrongUse: there is nothing before, between or after the commas.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if not all(parts):
        raise WrongUse(f"{flag} takes values with commas between them, not '{text}'.")
    return parts
