"""Where a module goes: a tap names a submodule whose output it corrects, in the model's own, unchanged forward.

    stem             before the first block
    stage1, stage2   the last place at 1/4, at 1/8 of the image's resolution
    any other        the submodule of that name, as in `named_modules`

`places` finds what can be a tap at all, and `passage` puts the module there.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from afdcli.errors import UnsupportedBackbone
from afdcli.models.places import Place, Survey
from afdcli.options import TAPS

REDUCTIONS = {"stage1": 4, "stage2": 8}
"""Which part of the image's resolution the features at a tap have."""
BEST = ("stage2", "stage1", "stem")
"""The taps, the one first at which a module wins most back at the least cost, see `benchmarks/ablations.md`."""
LISTED, LIKELY = 8, 3
"""Names in a refusal, at most: of what there is, and of what may have been meant."""
STEMS = ("patch_embed", "stem")
"""What timm calls that which comes before the first block, where it has a name."""
PASSING = (nn.Identity, nn.modules.dropout._DropoutNd)
"""Layers that change nothing, and are no place of their own."""


@dataclass(frozen=True)
class Tap:
    """A place for a module, and what it corrects as well behind that."""

    place: Place
    """Where the features are that the module gets."""
    blocks: tuple[Place, ...]
    """The model's blocks that come after it, in order."""

    @property
    def widths(self) -> tuple[int, ...]:
        """How many channels each of the blocks gives."""
        return tuple(block.channels for block in self.blocks)


def find(model: nn.Module, survey: Survey, tap: str, name: str) -> Tap:
    """The place in `model` that `tap` names: `auto`, one of `TAPS`, or a submodule; `name` is what the model is called.

    Raises:
        UnsupportedBackbone: there is no such place; the sentence names some that there are.
    """
    if tap == "auto":
        tap = default(model, survey, name)
    place = _named(model, survey, tap) if tap in TAPS else survey.get(tap)
    if place is None:
        raise UnsupportedBackbone(_refusal(model, survey, tap, name))
    return Tap(place, tuple(_blocks_after(model, survey, place)))


def default(model: nn.Module, survey: Survey, name: str) -> str:
    """Which of `TAPS` is the best that `model`, called `name`, has.

    Raises:
        UnsupportedBackbone: it has none.
    """
    for tap in BEST:
        if _named(model, survey, tap) is not None:
            return tap
    raise UnsupportedBackbone(_refusal(model, survey, "auto", name))


def listed(survey: Survey) -> list[Place]:
    """The places of different features, in order: of several that give the same, the outermost."""
    last = {place.node: place for place in survey.places}
    return [place for place in survey.places if last[place.node] is place]


def names(model: nn.Module, survey: Survey) -> dict[str, str]:
    """Those of `TAPS` that `model` has, and the submodules that they stand for."""
    found = {tap: _named(model, survey, tap) for tap in TAPS}
    return {tap: place.name for tap, place in found.items() if place is not None}


def _named(model: nn.Module, survey: Survey, tap: str) -> Place | None:
    return _stem(model, survey) if tap == "stem" else _stage(model, survey, REDUCTIONS[tap])


def _stage(model: nn.Module, survey: Survey, reduction: int) -> Place | None:
    """The last place at 1/`reduction`; none where that is the end of the model."""
    if not any(place.reduction > 1.5 * reduction for place in survey.places):
        return None
    told = [info for info in _feature_info(model) if info.get("reduction") == reduction]
    place = survey.get(str(told[-1].get("module"))) if told else None
    if place is not None and place.channels == told[-1].get("num_chs") and place.is_at(reduction):
        return place
    found = [place for place in listed(survey) if place.is_at(reduction) and not _is_inside(survey, place)]
    return found[-1] if found else None


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    """What timm says of a model's stages, if it does."""
    infos = getattr(model, "feature_info", None)
    return [info for info in infos if isinstance(info, dict)] if isinstance(infos, list | tuple) else []


def _is_inside(survey: Survey, place: Place) -> bool:
    """Whether it is in a block or stage that begins at its resolution, and ends at the next: it is only on the way."""
    parts = place.name.split(".")
    for length in range(1, len(parts)):
        before, after = survey.reductions.get(".".join(parts[:length]), (0.0, 0.0))
        if before and abs(before / place.reduction - 1) < 0.3 and after > 1.5 * place.reduction:
            return True
    return False


def _stem(model: nn.Module, survey: Survey) -> Place | None:
    """The place before the first block and before `stage1`."""
    for name in STEMS:
        if place := survey.get(name):
            return place
    places = [place for place in listed(survey) if not _passes(model.get_submodule(place.name))]
    first, stage = _first_block(model, survey), _stage(model, survey, REDUCTIONS["stage1"])
    before = [
        place
        for place in places
        if (first is None or place.ended < first) and (stage is None or place.node < stage.node)
    ]
    if before and (first is not None or stage is not None):
        return before[-1]
    return places[0] if places else None


def _passes(module: nn.Module) -> bool:
    return isinstance(module, PASSING) or "pool" in type(module).__name__.lower()


def _first_block(model: nn.Module, survey: Survey) -> int | None:
    """When the first block is called: the first of a sequence in which a class, no single layer, comes again."""
    began = {place.name: place.began for place in survey.places}
    for name, module in model.named_modules():
        if not _is_sequence(module):
            continue
        kinds = Counter(type(child) for child in module.children() if _has_parts(child))
        for child, part in module.named_children():
            if kinds[type(part)] > 1:
                inner = f"{name}.{child}" if name else child
                return min((when for one, when in began.items() if f"{one}.".startswith(f"{inner}.")), default=None)
    return None


def _blocks_after(model: nn.Module, survey: Survey, tap: Place) -> Iterator[Place]:
    """The outermost members of sequences, no sequences themselves, that come after `tap`; where there are none, the
    last place at each resolution."""
    later = [place for place in survey.places if place.node > tap.node]
    blocks = {place.name: place for place in later if _is_block(model, place.name)}
    for name, place in blocks.items():
        if not any(_is_within(name, other) for other in blocks):
            yield place
    if not blocks:
        last = {round(place.reduction): place for place in later if place.reduction > 1.5 * tap.reduction}
        yield from last.values()


def _is_block(model: nn.Module, name: str) -> bool:
    parent, module = name.rpartition(".")[0], model.get_submodule(name)
    return _is_sequence(model.get_submodule(parent)) and not _is_sequence(module) and _has_parts(module)


def _has_parts(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _is_within(name: str, other: str) -> bool:
    return name != other and name.startswith(f"{other}.")


def _is_sequence(module: nn.Module) -> bool:
    """Whether it is nothing but its members, one after the other: classes derived from these are layers."""
    return type(module) in (nn.Sequential, nn.ModuleList)


def _refusal(model: nn.Module, survey: Survey, tap: str, name: str) -> str:
    """Why `tap` is none in the model called `name`, and what to take."""
    if tap == "auto":
        return f"{name} has no place that all goes through and that is laid out as a map, so no module can go into it."
    others = _examples(model, survey)
    if tap in REDUCTIONS:
        return f"{name} has no place at 1/{REDUCTIONS[tap]} of the image's resolution for the tap '{tap}'. {others}"
    known = [one for one, _ in model.named_modules() if one]
    if tap in known:
        inside = [place.name for place in survey.places if _is_within(tap, place.name)]
        advice = f"Take '{max(inside, key=len)}', which it is in." if inside else others
        return f"'{tap}' cannot be a tap in {name}: it {survey.refused.get(tap, 'is never called')}. {advice}"
    places = [place.name for place in survey.places]
    near = dict.fromkeys(
        [*difflib.get_close_matches(tap, [*TAPS, *places]), *difflib.get_close_matches(tap, known)][:LIKELY]
    )
    advice = f"Did you mean {' or '.join(map(repr, near))}?" if near else others
    return f"{name} has no submodule '{tap}'. {advice}"


def _examples(model: nn.Module, survey: Survey) -> str:
    """Some taps that there are, in a sentence: the short names, and blocks."""
    there = [f"{short} ({place})" for short, place in names(model, survey).items()]
    there += [place.name for place in survey.places if _is_block(model, place.name)]
    more = ", ..." if len(there) > LISTED else ""
    return f"Taps that it has: {', '.join(there[:LISTED])}{more}." if there else "It has no taps."
