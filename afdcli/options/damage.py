"""What compression does to a photo, as data: one lossy save, several of them, and both as text, `webp:50,20`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from afdcli.errors import WrongUse
from afdcli.formats.codecs import CODECS
from afdcli.options.rules import AtLeast, OneOf, split_commas

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
    """The name of the codec, such as `webp`: one of those in `CODECS`."""
    quality: int
    """Where on the codec's own scale it saves, see `QUALITIES`. The scales of two codecs cannot be compared."""
    subsampling: str = "4:2:0"
    """The resolution of the colour channels. Codecs where that cannot be chosen take only the default."""

    def __post_init__(self) -> None:
        """Check the codec and its settings.

        Raises:
            WrongUse: there is no such codec, or it has no such quality or subsampling.
        """
        OneOf(*CODECS).check("The codec", self.codec)
        codec = CODECS[self.codec]
        scale = codec.qualities
        if self.quality not in scale:
            raise WrongUse(f"{self.codec.upper()} takes qualities from {scale[0]} to {scale[-1]}, not {self.quality}.")
        OneOf(*codec.subsamplings).check("--subsampling", self.subsampling)

    def __str__(self) -> str:
        return f"{self.codec}:{self.quality}"


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
        (a subsampling that is not the default), `...-shift`."""
        if all(len(choices) == 1 for choices in self.chain):
            name = "-".join([self.last.codec, *(str(choices[0].quality) for choices in self.chain)])
        else:
            name = f"{self.last.codec}-{self.last.quality}-passes-{self.passes}"
        if self.last.subsampling != Compression.subsampling:
            name += "-" + self.last.subsampling.replace(":", "")
        return name + "-shift" * (self.shift and self.passes > 1)

    @property
    def kind(self) -> str:
        """What rows call it beside quality and passes: the codec, and how it differs from a usual save by it, such as
        `jpeg 25-10` (a sequence), `jpeg 4:4:4`, `jpeg shift`."""
        words = [self.last.codec]
        qualities = [choices[0].quality for choices in self.chain if len(choices) == 1]
        if len(qualities) == self.passes and len(set(qualities)) > 1:
            words.append("-".join(map(str, qualities)))
        if self.last.subsampling != Compression.subsampling:
            words.append(self.last.subsampling)
        return " ".join(words + ["shift"] * (self.shift and self.passes > 1))


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
"""A level, or text that names one or several: `webp:50,20`."""


def levels_of(values: Level | Iterable[Level], subsampling: str = Compression.subsampling) -> tuple[Compression, ...]:
    """The levels that `values` name, in their order; those named by text get this `subsampling`.

    Raises:
        WrongUse: a text is not like `webp:50,20`, or a codec has no such quality or subsampling.
    """
    found: list[Compression] = []
    for value in _each(values):
        if isinstance(value, Compression):
            found.append(value)
            continue
        codec, _, qualities = str(value).partition(":")
        if not qualities.strip():
            raise WrongUse(f"--level takes a codec and its qualities, such as webp:50,20, not '{value}'.")
        found += [Compression(codec.strip(), one, subsampling) for one in whole_numbers("--level", qualities)]
    return tuple(found)


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
