"""Where a module can go into a network: found by one run, whatever the network is.

The output of a submodule is a place if the submodule is called once, gives one tensor that is laid out as a map (see
`layouts`), and *all goes through it*: with frozen weights, autograd's graph from the logits back to the image holds
just what depends on the image, and a node that no edge passes by is a cut. The run is on the meta device, where it
costs no arithmetic; only whether tokens are in the order of their places takes numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from afdcli.models.layouts import MAP, Layout, Size, fitting
from afdcli.models.twins import changed_twin

CLEARLY = 1.1
"""How many times as much as the other half a half of the map must change, at least, if that half of the image does."""


@dataclass(frozen=True)
class Place:
    """A submodule whose output can be corrected."""

    name: str
    """The submodule's, as in `named_modules`."""
    layout: Layout
    """How its output is laid out."""
    channels: int
    """Of the map in it."""
    grid: Size
    """Height and width of that map."""
    image: Size
    """Height and width of the images that this was found with."""
    node: int
    """Its number in the graph: what comes after has a higher one, and two that give the same tensor have the same."""
    began: int
    """When the submodule was called, counted in calls and returns."""
    ended: int
    """When it returned."""

    @property
    def reduction(self) -> float:
        """How many pixels of an image's side one place of the map stands for."""
        return self.image[0] / self.grid[0]

    def is_at(self, reduction: int) -> bool:
        """Whether the map has about 1/`reduction` of the image's resolution: Inception's 71 of 299 are a quarter."""
        return abs(self.reduction / reduction - 1) <= 0.12


@dataclass
class Call:
    """What is known of one submodule's call, while the run goes on."""

    name: str
    began: int
    entered: tuple[int, ...]
    """The shape of the first tensor that it was given."""
    ended: int
    times: int
    """How often it was called."""
    output: Tensor | None = None
    """What it gave, if that is one tensor with numbers that depend on the image."""
    node: Any = None
    """The node of the graph that made the output."""
    which: int = 0
    """Which of the node's outputs it is."""
    version: int = 0
    """How often the output had been changed in place when it was given."""


@dataclass(frozen=True)
class Survey:
    """All that one run has found."""

    places: tuple[Place, ...]
    """In the order in which they return."""
    refused: Mapping[str, str]
    """Why the other submodules that were called are no places, by their names: what follows 'it' in a sentence."""
    reductions: Mapping[str, tuple[float, float]]
    """By how much the image's resolution is reduced where a submodule begins, and where it ends, as far as known."""
    image: Size
    """Height and width of the images that it was run with."""

    def get(self, name: str) -> Place | None:
        """The place of this name, if there is one."""
        return next((place for place in self.places if place.name == name), None)


def logits_of(output: Any) -> Tensor:
    """The logits in what a network gives: a tensor, or an object that has them by that name, as of transformers.

    Raises:
        TypeError: there are none.
    """
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise TypeError(f"it gives {type(output).__name__}, and no logits")
    return logits


def survey(model: nn.Module, image: Size) -> Survey:
    """The places of `model`, which is in evaluation mode and is left as it is; it takes images of the size `image`.

    Raises:
        Exception: whatever the model raises where it cannot take such an image.
    """
    try:
        logits, calls = _run(model, image, "meta")
    except Exception:  # It looks at numbers, or at what is not on the meta device: then it takes a real run.
        logits, calls = _run(model, image, None)
    numbers, uses = _graph(logits)
    cuts = _cuts(uses, numbers)
    refused = {call.name: reason for call in calls if (reason := _refusal(call, uses, cuts, image))}
    found = [
        _place(call, layout, numbers[call.node], image)
        for call in calls
        if call.name not in refused and call.output is not None
        for layout in fitting(call.output.shape, image)
    ]
    places = tuple(_in_order(model, found))
    unordered = {place.name for place in found} - {place.name for place in places}
    refused |= dict.fromkeys(unordered, "gives its tokens in another order than that of their places")
    return Survey(places, refused, {call.name: _reductions(call, image) for call in calls}, image)


def _refusal(call: Call, uses: Mapping[Any, list[tuple[Any, int]]], cuts: set[Any], image: Size) -> str:
    """Why a submodule's output is no place, as in `Survey.refused`; empty if it is one, but for the order in it."""
    if call.times > 1:
        return f"is called {call.times} times"
    if call.output is None:
        return "gives no single tensor that depends on the image"
    if call.node not in cuts or any(which != call.which for _, which in uses[call.node]):
        return "is passed by: not all goes through it"
    if call.output._version != call.version:
        return "gives what is then changed in place: take what comes right behind it"
    if not any(fitting(call.output.shape, image)):
        return f"gives no map, but {' x '.join(map(str, ('B', *call.output.shape[1:])))}"
    return ""


def _place(call: Call, layout: Layout, number: int, image: Size) -> Place:
    assert call.output is not None
    shape = tuple(call.output.shape)
    sizes = layout.channels(shape), layout.grid(shape, image)
    return Place(call.name, layout, *sizes, image, number, call.began, call.ended)


def _reductions(call: Call, image: Size) -> tuple[float, float]:
    """Those of `Survey.reductions`; 0 where it is not known."""
    shapes = call.entered, () if call.output is None else tuple(call.output.shape)
    layouts = (next(fitting(shape, image), None) for shape in shapes)
    before, after = (
        image[0] / layout.grid(shape, image)[0] if layout else 0.0
        for layout, shape in zip(layouts, shapes, strict=True)
    )
    return before, after


def _run(model: nn.Module, image: Size, device: str | None) -> tuple[Tensor, list[Call]]:
    """Two images through a frozen copy of `model`, on `device`, or its own: the logits, and all calls."""
    own = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    where = torch.device(device) if device else own
    with torch.inference_mode(False), torch.enable_grad(), where:
        frozen = changed_twin(model, lambda tensor: tensor.detach().to(where))
        calls = _watch(frozen)
        images = torch.randn(2, 3, *image, generator=torch.Generator("cpu").manual_seed(0), device="cpu").to(where)
        logits = logits_of(frozen(images.requires_grad_()))
    return logits, sorted(calls.values(), key=lambda call: call.ended)


def _watch(model: nn.Module) -> dict[str, Call]:
    """Calls of the submodules of `model`, by name, as they come to be."""
    calls: dict[str, Call] = {}
    open_calls: dict[str, tuple[int, tuple[int, ...]]] = {}
    clock = iter(range(2**62))

    def entering(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            first = next((one for one in (*inputs, *named.values()) if isinstance(one, Tensor)), None)
            open_calls[name] = next(clock), () if first is None else tuple(first.shape)

        return hook

    def leaving(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            times = calls[name].times if name in calls else 0
            call = calls[name] = Call(name, *open_calls[name], next(clock), times + 1)
            if isinstance(output, Tensor) and output.is_floating_point() and output.grad_fn is not None:
                call.output, call.version = output, output._version
                call.node, call.which = output.grad_fn, output.output_nr

        return hook

    for name, module in model.named_modules():
        if name:
            module.register_forward_pre_hook(entering(name), with_kwargs=True)
            module.register_forward_hook(leaving(name))
    return calls


def _graph(logits: Tensor) -> tuple[dict[Any, int], dict[Any, list[tuple[Any, int]]]]:
    """The nodes between the image and `logits` with numbers that rise from the image on; and who uses each of them, and
    which of its outputs."""
    numbers: dict[Any, int] = {}
    uses: dict[Any, list[tuple[Any, int]]] = {logits.grad_fn: []}
    waiting: list[tuple[Any, Iterator[tuple[Any, int]]]] = []

    def enter(node: Any) -> None:
        waiting.append((node, iter(node.next_functions)))

    if logits.grad_fn is not None:
        enter(logits.grad_fn)
    while waiting:
        node, inputs = waiting[-1]
        for earlier, output in inputs:
            if earlier is None:
                continue
            is_new = earlier not in uses
            uses.setdefault(earlier, []).append((node, output))
            if is_new:
                enter(earlier)
                break
        else:
            numbers[node] = len(numbers)
            waiting.pop()
    return numbers, uses


def _cuts(uses: Mapping[Any, list[tuple[Any, int]]], numbers: Mapping[Any, int]) -> set[Any]:
    """The nodes that all goes through: those that no edge passes by."""
    changes = [0] * (len(numbers) + 1)
    for node, users in uses.items():
        for user, _ in users:
            changes[numbers[node] + 1] += 1
            changes[numbers[user]] -= 1
    passing = list(accumulate(changes))
    return {node for node, number in numbers.items() if passing[number] == 0}


def _in_order(model: nn.Module, found: list[Place]) -> Iterator[Place]:
    """Those of the places `found` whose map is in the order of the image; of one that could be laid out in two ways,
    the first for which it is.

    Maps of convolutions need no look. On the meta device, which has no numbers, none gets one.
    """
    ways = Counter(place.name for place in found)
    doubtful = {place.name for place in found if place.layout.kind != MAP or ways[place.name] > 1}
    is_meta = any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    changes = _changes(model, sorted(doubtful), found[0].image) if doubtful and not is_meta else {}
    done: set[str] = set()
    for place in found:
        if place.name in done:
            continue
        change = changes.get(place.name)
        if change is None or _follows(place.layout.read(change, place.image).square().sum(1)):
            done.add(place.name)
            yield place


def _changes(model: nn.Module, names: list[str], image: Size) -> dict[str, Tensor]:
    """How the outputs of the submodules `names` change where the upper, or the left half of an image does: (2, ...)."""
    changes: dict[str, Tensor] = {}

    def noting(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
            changes[name] = (output[1:] - output[:1]).float()

        return hook

    copy = changed_twin(model, Tensor.detach)
    for name in names:
        copy.get_submodule(name).register_forward_hook(noting(name))
    images, others = torch.randn(2, 3, 3, *image, generator=torch.Generator("cpu").manual_seed(0))
    images = images[:1].repeat(3, 1, 1, 1)
    images[1, :, : image[0] // 2] = others[1, :, : image[0] // 2]
    images[2, :, :, : image[1] // 2] = others[2, :, :, : image[1] // 2]
    first = next(iter((*model.parameters(), *model.buffers())))
    with torch.no_grad():
        copy(images.to(first))
    return changes


def _follows(change: Tensor) -> bool:
    """Whether a map's `change` (2, h, w) is in the upper half first, and then in the left half."""
    height, width = change.shape[1] // 2, change.shape[2] // 2
    upper, lower = change[0, :height].mean(), change[0, -height:].mean()
    left, right = change[1, :, :width].mean(), change[1, :, -width:].mean()
    return bool(upper > CLEARLY * lower and left > CLEARLY * right)
