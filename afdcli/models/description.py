"""What a classifier is, apart from its network: all it takes to use one that runs elsewhere than in torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

from PIL import Image

from afdcli.options import ModelOptions
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

PIXELS, QUALITY = "pixels", "quality"
PROBABILITIES, DRIFT = "probabilities", "drift"


def is_ema(part: str) -> bool:
    """Whether the weights in a `part` of a file are, by its name, a moving average of those that were trained."""
    return re.search(r"(^|[._/])ema([._/]|$)", part, re.IGNORECASE) is not None


@dataclass(frozen=True)
class Description:
    """A classifier, as its users see it. In files it is JSON, see `to_json`."""

    backbone: str
    """timm's name of the architecture."""
    backbone_sha256: str
    """The SHA-256, in hexadecimal digits, of all weights and buffers of the backbone."""
    backbone_part: str
    """Where in a user's file the backbone's weights were, such as `state_dict_ema`; empty: just there, or elsewhere."""
    weights_sha256: str
    """The SHA-256, in hexadecimal digits, of the file that the module is from; `none` without a module."""
    method: str
    """The method that made the module, a key of `METHODS`; `none` without a module."""
    config: dict[str, Any] | None
    """What the module is built from, the fields of its `Config`; None without a module, or with one from elsewhere."""
    inputs: tuple[str, ...]
    """`pixels` (B, H, W, 3), uint8 RGB, and, if it is used, `quality` (B,), float32, the JPEG quality factor, NaN where
    it is not known."""
    outputs: tuple[str, ...]
    """`probabilities` (B, classes) and, if it is estimated, `drift` (B,), the mean of the drift map: degrees by which
    compression has turned the features at the tap; or, of a module with the paper's estimate, a number in (0, 1)."""
    preprocessing: Preprocessing
    """What is to be done to a photo before the classifier takes it."""
    labels: Labels
    """What the classes are called, in the order of the probabilities."""

    @property
    def backbone_ema(self) -> bool | None:
        """Whether the backbone's weights are a moving average of those that were trained; None: nothing says so."""
        return is_ema(self.backbone_part) if self.backbone_part else None

    @property
    def weights_taken(self) -> dict[str, Any]:
        """Which of the weights in its file the backbone has, for the JSON beside a result."""
        return {"backbone_weights": {"part": self.backbone_part or None, "ema": self.backbone_ema}}

    def labels_given(self, options: ModelOptions) -> dict[str, str]:
        """The SHA-256 of the labels, a setting of rows that have them, if `options` name a file of labels."""
        if options.label_names is None:
            return {}
        return {"labels_sha256": hashlib.sha256(json.dumps(asdict(self.labels)).encode()).hexdigest()}

    @property
    def uses_quality(self) -> bool:
        """Whether it asks for the JPEG quality factor."""
        return QUALITY in self.inputs

    @property
    def estimates_drift(self) -> bool:
        """Whether it says how far the features have drifted."""
        return DRIFT in self.outputs

    def to_json(self) -> dict[str, Any]:
        """This description as values of JSON: so it is in the metadata of an exported file."""
        content = asdict(self)
        labels = content.pop("labels")
        content["preprocessing"]["interpolation"] = self.preprocessing.interpolation.name.lower()
        return {
            "version": metadata.version("afd-dedrift"),
            **content,
            "classes": labels["names"],
            "wnids": labels["wnids"],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Description:
        """The description that `to_json` was called of, from what that gave, perhaps read from a file.

        Raises:
            KeyError, TypeError, ValueError: `content` is not what `to_json` gives.
        """
        kept = {name: content[name] for name in cls.__dataclass_fields__ if name not in ("preprocessing", "labels")}
        preprocessing = Preprocessing(**content["preprocessing"])
        interpolation = Image.Resampling[str(preprocessing.interpolation).upper()]
        return cls(
            **{**kept, "inputs": tuple(content["inputs"]), "outputs": tuple(content["outputs"])},
            preprocessing=replace(preprocessing, interpolation=interpolation),
            labels=Labels(tuple(content["classes"]), tuple(content["wnids"])),
        )
