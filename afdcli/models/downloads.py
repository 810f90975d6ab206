"""Files of weights from the network, or kept of an earlier download. What is kept needs no network, and no waiting.

Where there is no network, or none that answers, that is said after `PATIENCE`, not after a minute of trying again.
"""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlparse

import huggingface_hub
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError

from afdcli.errors import BackboneUnavailable

PATIENCE = 8.0
"""Seconds for the first answer of a server."""
CONFIG = "config.json"
"""What describes a model at the hub."""
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What files of weights are called at the hub, the one that timm prefers first."""


def hub_file(repository: str, names: Sequence[str], revision: str | None = None) -> Path:
    """The first of `names` that the `repository` of the Hugging Face hub has: kept, or else downloaded.

    Raises:
        BackboneUnavailable: it has none, or cannot be reached.
    """
    for name in names:
        if kept := _kept(repository, name, revision):
            return kept
    if constants.is_offline_mode():
        raise BackboneUnavailable(f"{repository} is not kept here, and HF_HUB_OFFLINE forbids to download it.")
    _check_answers(constants.ENDPOINT)
    for name in names:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
        except EntryNotFoundError:
            continue
        except Exception as error:  # Network stacks raise anything, and the answer is the same.
            raise BackboneUnavailable(f"{repository} could not be downloaded ({type(error).__name__}).") from error
    raise BackboneUnavailable(f"{repository} has no {' or '.join(names)}.")


def _kept(repository: str, name: str, revision: str | None) -> Path | None:
    try:
        found = huggingface_hub.try_to_load_from_cache(repository, name, revision=revision)
    except ValueError as error:  # of names that no repository can have
        raise BackboneUnavailable(f"The Hugging Face hub has no '{repository}': {str(error).splitlines()[0]}") from None
    return Path(found) if isinstance(found, str) else None


def kept_models() -> list[str]:
    """The models that were downloaded from the hub before, with weights and description, by name: `ORG/NAME`."""
    folders = sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*"))
    names = ["/".join(folder.name.split("--")[1:]) for folder in folders]
    return [name for name in names if _is_kept(name)]


def _is_kept(repository: str) -> bool:
    try:
        return bool(_kept(repository, CONFIG, None)) and any(_kept(repository, name, None) for name in WEIGHTS)
    except BackboneUnavailable:
        return False


def url_file(url: str) -> Path:
    """What is at `url`: kept where torch.hub keeps such, or else downloaded to there.

    Raises:
        BackboneUnavailable: it cannot be had.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlparse(url).path))
    if path.exists():
        return path
    _check_answers(url)
    digest = torch.hub.HASH_REGEX.search(path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digest[1] if digest else None, progress=False)
    except Exception as error:  # Network stacks raise anything, and the answer is the same.
        raise BackboneUnavailable(f"{path.name} could not be downloaded ({type(error).__name__}).") from error
    return path


def _check_answers(url: str) -> None:
    if not answers(url):
        raise BackboneUnavailable(f"Nothing can be downloaded: {urlparse(url).hostname} does not answer.")


def answers(url: str, patience: float = PATIENCE) -> bool:
    """Whether anybody answers at `url`, be it a refusal, within `patience` seconds. Proxies are used as set."""
    answered = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=patience).close()
        except urllib.error.HTTPError:
            pass
        except (OSError, ValueError):
            return
        answered.set()

    # To look a name up knows no limit of time: so it is a thread that may be left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    return answered.is_set()
