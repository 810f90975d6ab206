"""Which network in a file is meant, where there are more tensors than a network's, or other names.

A file holds tensors, or parts that do (`state_dict`, `model_ema`, ...), and their names may have something before or
in them: `module.` of DataParallel, `_orig_mod.` of torch.compile, `model.` of Lightning. Every whole network is found.
Which one is taken is timm's rule, or the user's word; never a guess.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from afdcli.errors import BadCheckpoint
from afdcli.models.description import is_ema

KNOWN = ("state_dict_ema", "model_ema", "state_dict", "model")
"""The parts that weights are in by timm's rule: the first that is there."""
WRAPPERS = ("_orig_mod", "module")
"""What torch.compile and DataParallel put into the names of a network's tensors."""
COUNTERS = ("num_batches_tracked", "n_averaged")
"""What the names of tensors end with that count steps of training: no network needs them to classify."""

Parts = Mapping[str, Mapping[str, Tensor]]
"""The parts of a file: tensors by name, by the part's name, which is empty for tensors that are in no part."""


@dataclass(frozen=True)
class Network:
    """A whole network in a file."""

    part: str
    """The part that it is in."""
    prefix: str
    """What the names of its tensors begin with there, such as `model.`."""
    tensors: Mapping[str, Tensor]
    """All tensors of the part whose names begin so, and that are of no other network; by the rest of their names."""
    beside: tuple[str, ...]
    """The names of layers' weights in the part that are of no whole network."""

    @property
    def place(self) -> str:
        """Where in the file it is, such as `state_dict_ema` or `state_dict/model`; empty: just there."""
        return "/".join(filter(None, (self.part, self.prefix.rstrip("."))))

    @property
    def is_ema(self) -> bool:
        """Whether its weights are said to be a moving average of those that were trained."""
        return is_ema(self.place)


def networks(parts: Parts, own: Collection[str], head: str, path: Path) -> list[Network]:
    """The whole networks in `parts`, read from `path`: those places below which all names of `own` are.

    `head` is that of `own` whose tensor has a row for each class.

    Raises:
        BadCheckpoint: a tensor is there twice, wrapped and not.
    """
    wrappers = set(WRAPPERS) - {word for name in own for word in name.split(".")}
    needed = [name for name in own if not name.endswith(COUNTERS)]
    found = []
    for part, wrapped in parts.items():
        tensors = _unwrapped(wrapped, wrappers, path)
        places = [name.removesuffix(head) for name in tensors if f".{name}".endswith(f".{head}")]
        whole = [place for place in places if all(f"{place}{name}" in tensors for name in needed)]
        owners = {
            name: max((place for place in whole if name.startswith(place)), key=len, default=None) for name in tensors
        }
        beside = tuple(name for name, owner in owners.items() if owner is None and tensors[name].ndim > 1)
        for place in whole:
            inside = {name[len(place) :]: tensor for name, tensor in tensors.items() if owners[name] == place}
            found.append(Network(part, place, inside, beside))
    return found


def _unwrapped(tensors: Mapping[str, Tensor], wrappers: Collection[str], path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = ".".join(word for word in name.split(".") if word not in wrappers)
        if plain in found:
            raise BadCheckpoint(
                f"'{path}' has its tensor '{plain}' twice, wrapped and not. Keep the one that is meant."
            )
        found[plain] = tensor
    return found


def meant(whole: Sequence[Network], ema: str, path: Path) -> Network:
    """The one of the `whole` networks in the file at `path` that is taken: the moving average, if `ema` is `yes`, not
    that, if it is `no`, and with `auto`, where there is one.

    Raises:
        BadCheckpoint: there is none such, or nobody can tell which, or it is a part of a larger network.
    """
    averaged, trained = ([one for one in whole if one.is_ema is wanted] for wanted in (True, False))
    if ema == "yes" and not averaged:
        raise BadCheckpoint(f"'{path}' has no EMA weights in it. Leave out --ema yes.")
    if ema == "no" and not trained:
        raise BadCheckpoint(f"'{path}' has EMA weights alone, '{averaged[0].place}'. Leave out --ema no.")
    wanted = trained if ema == "no" or not averaged else averaged
    first = next((part for part in KNOWN if any(one.part == part for one in wanted)), None)
    wanted = [one for one in wanted if first is None or one.part == first]
    if len(wanted) > 1:
        places = " and ".join(f"'{one.place}'" for one in wanted)
        raise BadCheckpoint(f"'{path}' has several networks in it, {places}. Write the one that is meant to a file.")
    if wanted[0].prefix and wanted[0].beside:
        raise BadCheckpoint(
            f"'{path}' has a whole network in '{wanted[0].place}', and layers beside it that may belong behind it, "
            f"'{wanted[0].beside[0]}' first. Write the tensors that are meant to a file."
        )
    return wanted[0]
