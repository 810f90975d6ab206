"""Weights as people have them, into the network that they are of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from afdcli.errors import BadCheckpoint
from afdcli.models.parts import COUNTERS, KNOWN, Network, Parts, meant, networks
from afdcli.models.tensor_files import ENDING, check_tensors, is_stored, read_pickle, read_safetensors
from afdcli.photos.label_files import fitting, parse
from afdcli.photos.labels import Labels

SIGMOID = "sigmoid"
"""What a file with a single class has to say under `activation`."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built, its weights random."""

    name: str
    """What it is called, for the user."""
    heads: tuple[str, ...]
    """The names of the layers that give the logits, each with a row of weights for every class."""
    build: Callable[[int | None], nn.Module]
    """From the number of classes, None for as many as were published, to the network."""


@dataclass(frozen=True)
class Filled:
    """A network with the weights of a file."""

    model: nn.Module
    """The network, its classes as many as in the file."""
    labels: Labels | None
    """What the file calls the classes; None where it says nothing."""
    part: str
    """Where in the file the weights were, see `Network.place`."""
    one_logit: bool
    """Whether the two classes are the no and the yes of a single logit."""


@dataclass(frozen=True)
class Content:
    """What is read of a file."""

    parts: Parts
    """The tensors."""
    labels: str | None = None
    """What the classes are called, a text that `label_files.parse` reads."""
    sigmoid: bool = False
    """Whether a single logit is to go through a sigmoid."""


def model_from_file(architecture: Architecture, path: Path, ema: str = "auto") -> Filled:
    """The network `architecture` with the weights, and as many classes, as the file at `path` has; `ema`: see `meant`.

    A single class is answered with the sigmoid of its logit where the file says so, and is two then: no, and yes.

    Raises:
        BadCheckpoint: the file cannot be read, or is of another model, or of several, or its labels are not as many as
            its classes, or there is a single class and no sigmoid.
    """
    content = read(path)
    found, model = _network_in(content.parts, architecture, ema, path)
    tensors = dict(found.tensors)
    heads = [name for head in architecture.heads for name in (f"{head}.weight", f"{head}.bias") if name in tensors]
    classes = len(tensors[heads[0]])
    if one_logit := classes == 1:
        _check_sigmoid(content, path)
        # The sigmoid of a logit is the softmax of 0 and that logit.
        tensors |= {name: torch.cat((torch.zeros_like(tensors[name]), tensors[name])) for name in heads}
        model, classes = architecture.build(2), 2
    try:
        check_tensors(tensors, model.state_dict())
    except ValueError as error:
        raise BadCheckpoint(f"'{path}' is not of a {architecture.name}: {error}. Check --backbone.") from None
    model.load_state_dict(tensors)
    labels = None if content.labels is None else _labels(content.labels, classes, one_logit, path)
    return Filled(model, labels, found.place, one_logit)


def read(path: Path) -> Content:
    """What the file at `path` has of use here.

    Raises:
        BadCheckpoint: it cannot be read.
    """
    if path.suffix == ENDING:
        metadata, tensors = read_safetensors(path)
        return Content({"": tensors}, metadata.get("labels"), metadata.get("activation") == SIGMOID)
    content = read_pickle(path)
    if not isinstance(content, Mapping):
        return Content({})
    inner = {key: part for key, part in content.items() if isinstance(key, str) and isinstance(part, Mapping)}
    chosen = [key for key in KNOWN if key in inner] or inner
    parts = {"": _tensors(content), **{key: _tensors(inner[key]) for key in chosen}}
    # timm's train.py says so by the loss that belongs to a sigmoid.
    sigmoid = content.get("activation") == SIGMOID or getattr(content.get("args"), "bce_loss", False) is True
    return Content(parts, None, sigmoid)


def _tensors(part: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in part.items() if isinstance(name, str) and isinstance(value, Tensor)}


def _network_in(parts: Parts, architecture: Architecture, ema: str, path: Path) -> tuple[Network, nn.Module]:
    """The network in `parts` that is meant, all its tensors known to `architecture`; and a model of as many classes."""
    head = f"{architecture.heads[0]}.weight"
    heads = [(part, name) for part in parts.values() for name in part if f".{name}".endswith(f".{head}")]
    rows = [part[name] for part, name in heads]
    if not rows or any(one.ndim == 0 or len(one) == 0 or not is_stored(one) for one in rows):
        raise BadCheckpoint(f"'{path}' has no classifier of a {architecture.name} in it. Check --backbone.")
    model = architecture.build(len(rows[0]))
    own = model.state_dict().keys()
    whole = networks(parts, own, head, path)
    if not whole:
        part, name = heads[0]
        place = name.removesuffix(head)
        raise _another(architecture, [one.removeprefix(place) for one in part if one.startswith(place)], own, path)
    found = meant(whole, ema, path)
    tensors = {name: one for name, one in found.tensors.items() if name in own or not name.endswith(COUNTERS)}
    if tensors.keys() - own:
        raise _another(architecture, tensors, own, path)
    classes = len(tensors[head])
    return replace(found, tensors=tensors), model if classes == len(rows[0]) else architecture.build(classes)


def _another(architecture: Architecture, tensors: Collection[str], own: Collection[str], path: Path) -> BadCheckpoint:
    wrong = sorted(set(tensors) ^ set(own))
    return BadCheckpoint(
        f"'{path}' is not of a {architecture.name}: {len(wrong)} tensors are missing or unknown, {wrong[0]} first. "
        "Check --backbone."
    )


def _check_sigmoid(content: Content, path: Path) -> None:
    if not content.sigmoid:
        raise BadCheckpoint(
            f"'{path}' has a single class, which would have a probability of 1 for every photo. If its logit belongs "
            f"through a sigmoid, the file has to say so: write it with 'activation': '{SIGMOID}' beside 'state_dict', "
            "or in the metadata of safetensors."
        )


def _labels(text: str, classes: int, one_logit: bool, path: Path) -> Labels:
    try:
        return fitting(parse(text), classes, one_logit=one_logit)
    except ValueError as error:
        raise BadCheckpoint(f"The labels in '{path}' cannot be used: {error}.") from None


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """The SHA-256, in hexadecimal digits, of all tensors of `state`, on the processor, with their names."""
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
