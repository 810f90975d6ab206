"""What compression does to a photo, as data: one lossy save, several of them, and both as text, `webp:50,20`.

A level's text is a codec, a colon and qualities with commas between them; after another colon come settings of the
encoder, with commas between them too: `avif:30:speed=4,subsampling=4:4:4`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from afdcli.errors import WrongUse
from afdcli.formats.codecs import CODECS, CORRUPTIONS, kind
from afdcli.formats.tables import Tables, read_tables
from afdcli.options.rules import AtLeast, OneOf, nearest, split_commas

QUALITIES = {name: codec.qualities for name, codec in CODECS.items()}
"""The qualities each codec takes, best last."""
SUBSAMPLINGS = tuple(dict.fromkeys(each for codec in CODECS.values() for each in codec.subsamplings))
"""The resolutions of colour that some codec can choose."""
SUBSAMPLED = tuple(name for name, codec in CODECS.items() if len(codec.subsamplings) > 1)
"""The codecs whose subsampling can be chosen."""
SHIFT = "Move the grid of blocks that the codec works in between passes, as cropping an image does."


@dataclass(frozen=True)
class Compression:
    """One lossy save: a level of damage."""

    codec: str
    """The name of the codec, such as `webp`: one of those in `CODECS`, or in `CORRUPTIONS`."""
    quality: int
    """Where on the codec's own scale it saves, see `QUALITIES`. The scales of two codecs cannot be compared."""
    subsampling: str = "4:2:0"
    """The resolution of the colour channels. Codecs where that cannot be chosen take only the default."""

    settings: tuple[tuple[str, str], ...] = ()
    """What the encoder is told beside these, by name, such as `(("speed", "4"),)`: only what differs from what it is
    told anyhow, in the order of the codec's table."""
    tables: Tables | None = None
    """Quantisation tables in the place of JPEG's own, scaled by the quality as those are."""

    def __post_init__(self) -> None:
        """Check the codec and its settings, which may come as a mapping, and the tables, which may be a file's path.

        Raises:
            WrongUse: there is no such codec, or it has no such quality, subsampling or setting.
        """
        OneOf(*CODECS, *CORRUPTIONS).check("The codec", self.codec)
        codec = kind(self.codec)
        scale = codec.qualities
        if self.quality not in scale:
            what = "severities" if self.codec in CORRUPTIONS else "qualities"
            low, high = min(scale), max(scale)
            raise WrongUse(f"{self.codec.upper()} takes {what} from {low} to {high}, not {self.quality}.")
        OneOf(*codec.subsamplings).check("--subsampling", self.subsampling)
        object.__setattr__(self, "settings", _checked_settings(self.codec, self.settings))
        if isinstance(self.tables, Mapping):  # as a record has them
            object.__setattr__(self, "tables", Tables(**self.tables))
        if self.tables is not None and not codec.takes_tables:
            raise WrongUse(f"{self.codec.upper()} takes no quantisation tables: qtables is a setting of jpeg.")

    @property
    def told(self) -> str:
        """What the encoder is told beside the quality, as `--level` takes it, but for the subsampling: `speed=4`."""
        words = [f"{name}={value}" for name, value in self.settings]
        return ",".join(words + ([] if self.tables is None else [f"qtables={self.tables.name}"]))

    def __str__(self) -> str:
        words = [f"subsampling={self.subsampling}"] * (self.subsampling != Compression.subsampling)
        settings = ",".join([*words, self.told] if self.told else words)
        return f"{self.codec}:{self.quality}" + f":{settings}" * bool(settings)


def _checked_settings(codec: str, given: Any) -> tuple[tuple[str, str], ...]:
    """The settings `given` to `codec` that change anything, in the order of its table."""
    table, found = kind(codec).extras, {}
    for name, value in given.items() if isinstance(given, Mapping) else given:
        if name not in table:
            raise no_setting(codec, name)
        text = ("no", "yes")[value] if isinstance(value, bool) else str(value)
        OneOf(*table[name].values).check(f"{codec.upper()}'s {name}", text)
        found[name] = text
    return tuple((name, found[name]) for name in table if found.get(name, table[name].default) != table[name].default)


def no_setting(codec: str, name: str) -> WrongUse:
    """The refusal of a setting that `codec` does not have."""
    row = kind(codec)
    names = [*row.extras, *["subsampling"] * (len(row.subsamplings) > 1), *["qtables"] * row.takes_tables]
    known = f"takes {', '.join(names)}, not '{name}'" if names else f"takes nothing beside its quality, not '{name}'"
    return WrongUse(f"{codec.upper()} {known}{nearest(name, names)}.")


@dataclass(frozen=True)
class Degradation:
    """What is done to one image: lossy saves, one after the other. The last one's file is the result."""

    chain: tuple[tuple[Compression, ...], ...]
    """For each pass the compressions that it is drawn from, uniformly. The last pass has just one."""
    shift: bool = False
    """Move the block grid between passes, by an offset drawn for each image."""

    @property
    def passes(self) -> int:
        """How many lossy saves it is in all."""
        return len(self.chain)

    @property
    def last(self) -> Compression:
        """The save whose file is the result, and whose quality is in that file's quantisation tables."""
        return self.chain[-1][0]

    @property
    def name(self) -> str:
        """The folder for its results: `jpeg-10`, `jpeg-25-10` (a sequence), `jpeg-10-passes-3` (drawn), `jpeg-10-444`
        (a subsampling that is not the default), `avif-30-speed=4` (an encoder's setting), `...-shift`."""
        if all(len(choices) == 1 for choices in self.chain):
            name = "-".join([self.last.codec, *(str(choices[0].quality) for choices in self.chain)])
        else:
            name = f"{self.last.codec}-{self.last.quality}-passes-{self.passes}"
        if self.last.subsampling != Compression.subsampling:
            name += "-" + self.last.subsampling.replace(":", "")
        name += f"-{self.last.told}" * bool(self.last.told)
        return name + "-shift" * (self.shift and self.passes > 1)

    @property
    def kind(self) -> str:
        """What rows call it beside quality and passes: the codec, and how it differs from a usual save by it, such as
        `jpeg 25-10` (a sequence), `jpeg 4:4:4`, `avif speed=4`, `jpeg shift`."""
        words = [self.last.codec]
        qualities = [choices[0].quality for choices in self.chain if len(choices) == 1]
        if len(qualities) == self.passes and len(set(qualities)) > 1:
            words.append("-".join(map(str, qualities)))
        if self.last.subsampling != Compression.subsampling:
            words.append(self.last.subsampling)
        words += [self.last.told] * bool(self.last.told)
        return " ".join(words + ["shift"] * (self.shift and self.passes > 1))

    def recorded(self) -> dict[str, Any]:
        """It as plain values, for a record. What is new since records were first written is in it only where used."""
        found = asdict(self)
        for compression in (one for choices in found["chain"] for one in choices):
            for name in ("settings", "tables"):
                if not compression[name]:
                    del compression[name]
        return found

    @classmethod
    def of_record(cls, found: Mapping[str, Any]) -> Degradation:
        """What `recorded` made plain values of, and JSON lists of its tuples."""
        chain = tuple(tuple(Compression(**one) for one in choices) for choices in found["chain"])
        return cls(chain, found["shift"])


def degradations(levels: tuple[Compression, ...], passes: int, shift: bool) -> tuple[Degradation, ...]:
    """Each level as the last of `passes` saves, the earlier ones drawn from the levels of the same codec."""
    AtLeast(1).check("--passes", passes)
    return tuple(
        Degradation(
            (tuple(other for other in levels if other.codec == level.codec),) * (passes - 1) + ((level,),), shift
        )
        for level in levels
    )


def sequence(qualities: Iterable[int], subsampling: str, shift: bool) -> Degradation:
    """JPEG saves one after the other, at these qualities."""
    return Degradation(tuple((Compression("jpeg", quality, subsampling),) for quality in qualities), shift)


Level = str | Compression
"""A level, or text that names one or several: `webp:50,20`, `avif:30:speed=4,subsampling=4:4:4`."""


def levels_of(values: Level | Iterable[Level], subsampling: str = Compression.subsampling) -> tuple[Compression, ...]:
    """The levels that `values` name, in their order; those named by text get this `subsampling` if they name none.

    Raises:
        WrongUse: a text is not like `webp:50,20`, or a codec has no such quality, subsampling or setting.
    """
    found: list[Compression] = []
    for value in _each(values):
        if isinstance(value, Compression):
            found.append(value)
            continue
        codec, _, rest = str(value).partition(":")
        qualities, _, settings = rest.partition(":")
        if not qualities.strip():
            raise WrongUse(f"--level takes a codec and its qualities, such as webp:50,20, not '{value}'.")
        codec, numbers = codec.strip(), whole_numbers("--level", qualities)
        OneOf(*CODECS, *CORRUPTIONS).check("The codec", codec)
        told = {"subsampling": subsampling, **(_settings_of(codec, settings) if ":" in rest else {})}
        found += [Compression(codec, one, **told) for one in numbers]
    return tuple(found)


def _settings_of(codec: str, text: str) -> dict[str, Any]:
    """The fields of `Compression` that `text` names, such as `speed=4,subsampling=4:4:4`."""
    words: dict[str, str] = {}
    for part in re.split(r",(?=[^,=]*=)", text):  # A comma without a `=` after it is one of a file's name.
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals and value):
            raise WrongUse(f"--level takes settings such as avif:30:speed=4,subsampling=4:4:4, not '{part}'.")
        if name in words:
            raise WrongUse(f"--level takes each setting once, and has {name} twice.")
        words[name] = value
    row, found = kind(codec), dict[str, Any]()
    if len(row.subsamplings) > 1 and "subsampling" in words:
        found["subsampling"] = words.pop("subsampling")
    if row.takes_tables and "qtables" in words:
        found["tables"] = read_tables(words.pop("qtables"))
    return {**found, "settings": _checked_settings(codec, words)}


def level_of(value: Level) -> Compression:
    """The one level that `value` is or names.

    Raises:
        WrongUse: it names several, or none; or see `levels_of`.
    """
    found = levels_of(value)
    if len(found) != 1:
        raise WrongUse(f"--level takes one quality here, such as webp:20, not '{value}'.")
    return found[0]


def degradations_of(values: Level | Degradation | Iterable[Level | Degradation]) -> tuple[Degradation, ...]:
    """What `values` are or name: each level is a single save.

    Raises:
        WrongUse: see `levels_of`.
    """
    found: tuple[Degradation, ...] = ()
    for value in _each(values):
        found += (value,) if isinstance(value, Degradation) else degradations(levels_of(value), 1, False)
    return found


def _each(values: Any) -> Iterable[Any]:
    return values if isinstance(values, Iterable) and not isinstance(values, str) else (values,)


def whole_numbers(flag: str, text: str) -> list[int]:
    """The numbers in `text`, which have commas between them; none in an empty one.

    Raises:
        WrongUse: there is anything else in it; the text names the `flag`.
    """
    try:
        return [int(part) for part in split_commas(flag, text)]
    except ValueError:
        raise WrongUse(f"{flag} takes whole numbers with commas between them, not '{text}'.") from None
