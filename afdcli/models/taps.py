"""Where a module goes into a backbone: each tap cuts the network in two, a stem before it and a tail after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from afdcli.errors import UnsupportedBackbone
from afdcli.models.backbones import Backbone

REDUCTIONS = {"stage1": 4, "stage2": 8}
"""Which part of the image's resolution a tap's features have: it is after the last layer at 1/4 or 1/8 of that. The tap
`stem` is after the stem, whatever the resolution is there."""

FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ByobNet": (("stem",), ("stages", "final_conv")),
    "ConvNeXt": (("stem",), ("stages", "norm_pre")),
    "EfficientNet": (("conv_stem", "bn1"), ("blocks", "conv_head", "bn2")),
    "MobileNetV3": (("conv_stem", "bn1"), ("blocks",)),
    "ResNet": (("conv1", "bn1", "act1"), ("maxpool", "layer1", "layer2", "layer3", "layer4")),
}
"""timm's class -> the children that are its stem, and those that follow, up to `forward_head`; of those some are
sequences of blocks. Vision transformers are cut after their patch embedding."""


@dataclass(frozen=True)
class Split:
    """A model cut in two: `tail(stem(x))` is just `model(x)`."""

    stem: nn.Module
    """(B, 3, H, W) normalised images -> (B, channels, h, w) features."""
    tail: Tail
    """(B, channels, h, w) features -> (B, classes) logits."""
    channels: int
    """How many channels the features at the tap have."""
    reduction: int
    """How many pixels of an image's side one place of the features stands for: H / h."""
    blocks: tuple[int, ...]
    """For each of the tail's layers the channels of its map, if it is one of the model's blocks; else 0."""


def split(backbone: Backbone, tap: str) -> Split:
    """Cut `backbone` at `tap`, one of `TAPS`. Both parts share its weights.

    Raises:
        UnsupportedBackbone: it has no such place, or its family is not known here.
    """
    model: Any = backbone.model
    family = type(model).__name__
    if _is_transformer(backbone):
        return _split_transformer(backbone, tap)
    if family not in FAMILIES:
        raise UnsupportedBackbone(f"{backbone.name} cannot be cut at '{tap}': its family, {family}, is not known here.")
    first, rest = FAMILIES[family]
    steps = [*first, *(step for name in rest for step in _steps(model, name))]
    cut = len(first) if tap == "stem" else _last_at(REDUCTIONS[tap], steps, backbone, tap) + 1
    layers = [model.get_submodule(step) for step in steps]
    stem, tail = nn.Sequential(*layers[:cut]), Tail(layers[cut:], model)
    size = backbone.preprocessing.size
    with torch.inference_mode():
        features = stem(torch.zeros(1, 3, size, size))
        outputs = tail.stages(features)
    blocks = tuple(
        output.shape[1] if "." in step else 0 for step, output in zip(steps[cut:], outputs[:-1], strict=True)
    )
    return Split(stem, tail, features.shape[1], round(size / features.shape[2]), blocks)


def _split_transformer(backbone: Backbone, tap: str) -> Split:
    model: Any = backbone.model
    if tap != "stem":
        raise UnsupportedBackbone(f"{backbone.name} is a transformer, and can be cut only at 'stem'.")
    grid = model.patch_embed.grid_size
    return Split(
        _PatchEmbedding(model.patch_embed, grid),
        _TransformerTail(model.blocks, model),
        model.embed_dim,
        round(backbone.preprocessing.size / grid[0]),
        blocks=len(model.blocks) * (model.embed_dim,),
    )


def _last_at(reduction: int, steps: list[str], backbone: Backbone, tap: str) -> int:
    """The number of the last of `steps` whose map has 1/`reduction` of the image's resolution."""
    model: Any = backbone.model
    places = [info["module"] for info in model.feature_info if info["reduction"] == reduction]
    if not places:
        raise UnsupportedBackbone(f"{backbone.name} has no layers at 1/{reduction} of the resolution for '{tap}'.")
    return max(number for number, step in enumerate(steps) if f"{step}.".startswith(f"{places[-1]}."))


def default_tap(backbone: Backbone) -> str:
    """The tap at which a module wins most back at the least cost, see `benchmarks/ablations.md`."""
    return "stem" if _is_transformer(backbone) else "stage2"


def _is_transformer(backbone: Backbone) -> bool:
    return type(backbone.model).__name__ == "VisionTransformer"


def _steps(model: nn.Module, name: str) -> list[str]:
    """The names of the layers that the child `name` is: itself, or, of a sequence, those in it."""
    child = model.get_submodule(name)
    if not isinstance(child, nn.Sequential):
        return [name]
    return [step for inner, _ in child.named_children() for step in _steps(model, f"{name}.{inner}")]


Correct = Callable[[int, Tensor], Tensor]
"""What is made of the output of a tail's layer, by the layer's number, before the next layer gets it."""


class Tail(nn.Module):
    """The layers of a model that come after the tap, then its own head."""

    def __init__(self, layers: Iterable[nn.Module], model: Any) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.model = model

    def forward(self, features: Tensor, correct: Correct | None = None) -> Tensor:
        """(B, channels, h, w) features at the tap -> (B, classes) logits."""
        for output in self._outputs(features, correct):
            logits = output
        return logits

    def stages(self, features: Tensor, correct: Correct | None = None) -> list[Tensor]:
        """What every layer makes of (B, channels, h, w) `features`, in order, each corrected; the logits last."""
        return list(self._outputs(features, correct))

    def _outputs(self, features: Tensor, correct: Correct | None) -> Iterator[Tensor]:
        x = self._enter(features)
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if correct is not None:
                x = correct(number, x)
            yield x
        yield self._leave(x)

    def _enter(self, features: Tensor) -> Tensor:
        return features

    def _leave(self, x: Tensor) -> Tensor:
        return self.model.forward_head(x)  # type: ignore[no-any-return]


class _TransformerTail(Tail):
    """A vision transformer's blocks and head, as in timm's `forward_features`."""

    def _outputs(self, features: Tensor, correct: Correct | None) -> Iterator[Tensor]:
        if correct is None:
            yield from super()._outputs(features, None)
            return
        special = self.model.num_prefix_tokens  # those of the class, for example: they are at no place

        def correct_tokens(number: int, tokens: Tensor) -> Tensor:
            places = correct(number, torch.unflatten(tokens[:, special:].mT, 2, features.shape[-2:]))
            return torch.cat((tokens[:, :special], places.flatten(2).mT), 1)

        yield from super()._outputs(features, correct_tokens)

    def _enter(self, features: Tensor) -> Tensor:
        tokens = self.model._pos_embed(features.flatten(2).mT)
        return self.model.norm_pre(self.model.patch_drop(tokens))  # type: ignore[no-any-return]

    def _leave(self, x: Tensor) -> Tensor:
        return self.model.forward_head(self.model.norm(x))  # type: ignore[no-any-return]


class _PatchEmbedding(nn.Module):
    """A vision transformer's patch tokens, laid out as a map (B, channels, h, w) of the patches' places."""

    def __init__(self, embed: nn.Module, grid: tuple[int, int]) -> None:
        super().__init__()
        self.embed = embed
        self.grid = grid

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).mT.unflatten(2, self.grid)  # type: ignore[no-any-return]
