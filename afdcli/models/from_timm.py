"""timm's models by their names, and those that the Hugging Face hub has for timm."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from PIL import Image
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.data.config import resolve_data_config
from torch import nn

from afdcli.errors import BackboneUnavailable, BadCheckpoint, UnsupportedBackbone
from afdcli.models.downloads import CONFIG, WEIGHTS, hub_file, kept_models, url_file
from afdcli.models.origin import Input, Pretrained
from afdcli.models.packages import PACKAGES, packaged_model
from afdcli.models.state_dicts import Architecture
from afdcli.models.tensor_files import ENDING, read_pickle, read_safetensors
from afdcli.photos.labels import Labels, is_wnid
from afdcli.photos.preprocessing import Preprocessing

HUB = "hf-hub:"
HUB_PREFIXES = (HUB, "hf_hub:")
"""What comes before the names of models at the hub, the usual one first."""


class TimmModel:
    """The model `name` of timm's own, perhaps with the tag of its weights behind a dot."""

    def __init__(self, name: str) -> None:
        """Raises:
        BackboneUnavailable: timm has no such model.
        """
        self.name = name
        plain, _, tag = name.partition(".")
        if not timm.is_model(plain):
            near = difflib.get_close_matches(name, [*PACKAGES, *timm.list_models()], n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else " timm.list_models() lists them."
            raise BackboneUnavailable(f"timm has no model '{name}'.{hint}")
        tags = [one.partition(".")[2] for one in timm.list_pretrained(plain)]
        if tag and tag not in tags:
            raise BackboneUnavailable(f"timm has no weights '{tag}' for {plain}. It has: {', '.join(tags) or 'none'}.")
        self.architecture = Architecture(name, _heads(timm.get_pretrained_cfg_value(name, "classifier")), self._build)

    def _build(self, classes: int | None) -> nn.Module:
        model: nn.Module = timm.create_model(self.name, num_classes=classes)
        return model

    def pretrained(self) -> Pretrained:
        """See `Origin`: the weights are those of a package, or those that timm downloads."""
        if self.name in PACKAGES:
            model, path = packaged_model(self.name)
            return Pretrained(model, (path,))
        config = timm.get_pretrained_cfg(self.name)
        if config is None or not config.has_weights:
            raise BackboneUnavailable(f"timm has no weights for {self.name}. {_advice()}")
        try:
            path = self._file(config)
        except BackboneUnavailable as error:
            raise BackboneUnavailable(f"The weights of {self.name} are not to be had. {error} {_advice()}") from error
        model = _filled(self.name, path)
        return Pretrained(model, (path,))

    @staticmethod
    def _file(config: Any) -> Path:
        if config.hf_hub_id:
            repository, _, revision = config.hf_hub_id.partition("@")
            names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHTS
            return hub_file(repository, names, revision or None)
        return url_file(config.url if isinstance(config.url, str) else config.url[0])

    def input(self, model: Any) -> Input:
        """See `Origin`: what timm evaluates `model` with."""
        return config_input(self.name, resolve_data_config({}, model=model))

    def labels(self, model: Any) -> Labels:
        """See `Origin`: what came with the weights; else ImageNet's names, if they are as many; else indices."""
        return _labels(model)


class HubModel:
    """A model of the Hugging Face hub that timm can build: `hf-hub:ORG/NAME`, perhaps with `@` and a revision."""

    def __init__(self, name: str) -> None:
        """Raises:
        BackboneUnavailable: it can be neither found here nor downloaded, or is none of timm's.
        """
        path = next((name.removeprefix(prefix) for prefix in HUB_PREFIXES if name.startswith(prefix)), name)
        self.name = f"{HUB}{path}"
        self._repository, _, revision = path.partition("@")
        self._revision = revision or None
        # timm reads the description from the folder, and so needs no network for what is kept.
        self._folder = f"local-dir:{self._file(CONFIG).parent}"
        heads = _heads(self._build(None).pretrained_cfg.get("classifier"))
        self.architecture = Architecture(self.name, heads, self._build)

    def _file(self, *names: str) -> Path:
        try:
            return hub_file(self._repository, names, self._revision)
        except BackboneUnavailable as error:
            kept = [f"{HUB}{one}" for one in kept_models()]
            near = difflib.get_close_matches(self.name, kept, 5, 0) or ["none"]
            raise BackboneUnavailable(f"{self.name} is not to be had. {error} Kept here: {', '.join(near)}.") from error

    def _build(self, classes: int | None) -> Any:
        try:
            return timm.create_model(self._folder, num_classes=classes)
        except Exception as error:  # A description from anybody can have anything in it.
            raise BackboneUnavailable(
                f"{self.name} is none of timm's models, or needs a newer timm ({type(error).__name__}). Others can be "
                "used from Python."
            ) from error

    def pretrained(self) -> Pretrained:
        """See `Origin`."""
        path = self._file(*WEIGHTS)
        return Pretrained(_filled(self._folder, path), (path,))

    def input(self, model: Any) -> Input:
        """See `Origin`: what timm evaluates `model` with."""
        return config_input(self.name, resolve_data_config({}, model=model))

    def labels(self, model: Any) -> Labels:
        """See `Origin`: what the description calls them; else ImageNet's names, if they are as many; else indices."""
        return _labels(model)


def _filled(name: str, path: Path) -> nn.Module:
    """The model that timm calls `name`, with the published weights at `path`, as timm converts them.

    Raises:
        BadCheckpoint: the file is damaged, or of another model.
    """
    content = read_safetensors(path)[1] if path.suffix == ENDING else read_pickle(path)
    # A `source` would go before what was read here, where nothing in the file is run, and no network is asked.
    overlay = {"state_dict": content, "source": None}
    try:
        model: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        if model.num_classes != model.pretrained_cfg["num_classes"]:  # timm would make up a classifier.
            raise ValueError("it has another number of classes than its description says")
    except Exception as error:  # Conversions raise anything on what they were not written for.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadCheckpoint(f"'{path}' cannot be used: {reason}. Delete it, to have it downloaded again.") from error
    model.pretrained_cfg["state_dict"] = None
    return model  # type: ignore[no-any-return]


def _advice() -> str:
    return f"Give a file with --backbone-checkpoint, or use one that needs no download: {', '.join(PACKAGES)}."


def _heads(classifier: Any) -> tuple[str, ...]:
    """The names of the layers that give the logits, of what timm says about them."""
    return (classifier,) if isinstance(classifier, str) else tuple(classifier or ("",))


def config_input(name: str, config: Mapping[str, Any]) -> Input:
    """What timm's `config` of data, for the model `name`, feeds a network with.

    Raises:
        UnsupportedBackbone: its images are not square, or padded, or it makes no sense.
    """
    _, height, width = config["input_size"]
    mode = config.get("crop_mode") or "center"
    if height != width:
        raise UnsupportedBackbone(f"{name} wants images of {width} x {height} pixels: only squares are supported yet.")
    if mode == "border":
        raise UnsupportedBackbone(f"{name} wants its images with a border around them: that is not supported yet.")
    try:
        preprocessing = Preprocessing(
            size=height,
            crop_pct=config["crop_pct"],
            interpolation=Image.Resampling[config["interpolation"].upper()],
            squash=mode == "squash",
        )
        numbers = [tuple(map(float, config[key])) for key in ("mean", "std")]
        if not (0 < preprocessing.size <= preprocessing.short and [len(one) for one in numbers] == [3, 3]):
            raise ValueError
    except (AttributeError, ArithmeticError, KeyError, TypeError, ValueError):
        raise UnsupportedBackbone(f"{name} is described with a preprocessing that makes no sense here.") from None
    return Input(preprocessing, *numbers)


def _labels(model: Any) -> Labels:
    """What timm knows of `model`'s classes; else ImageNet's names, if they are as many; else indices."""
    config = model.pretrained_cfg
    own = config.get("label_names") or ()
    if len(own) == model.num_classes > 0:
        described = config.get("label_descriptions") or {}
        names = tuple(str(described.get(name, name)) for name in own)
        return Labels(names, tuple(map(str, own)) if all(map(is_wnid, own)) else ())
    subset = infer_imagenet_subset(model)
    if subset is None:
        return Labels(tuple(map(str, range(model.num_classes))))
    info = ImageNetInfo(subset)
    indices = range(info.num_classes())
    return Labels(tuple(map(info.index_to_description, indices)), tuple(map(info.index_to_label_name, indices)))
