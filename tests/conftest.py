"""What several test files need, made here, the same on every run. And no test touches the user's cache."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # A command that a test starts is compiled once, as users have it.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # Threads that wait for a busy processor make all of it slower.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Else it forks, and reports each conversion to a server.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="afd-tests-")
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it, and so would children.


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """`main` is the last that a process does, and leaves signals ignored."""
    yield
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The flags of a small network, its weights random."""
    import timm  # only here: most tests go without torch
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), path)
    return ("--backbone", "test_resnet", "--backbone-checkpoint", str(path), "--device", "cpu", "--batch-size", "8")


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """Permissions do not hold for root: with this, be nobody for a while."""

    @contextmanager
    def nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return nobody


@pytest.fixture
def photo() -> Image.Image:
    """160 x 120 pixels of smooth colour with texture: compresses as photos do."""
    y, x = np.mgrid[0:120, 0:160].astype(float)
    red = 128 + 90 * np.sin(x / 23) + 20 * np.sin(x * y / 90)
    green = 40 + x + 25 * np.cos(y / 3)
    blue = 230 - 1.5 * y + 15 * np.sin((x + 2 * y) / 2.5)
    noise = np.random.default_rng(7).normal(0, 4, (120, 160, 3))
    return Image.fromarray((np.stack([red, green, blue], axis=-1) + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture
def dedrifted(tmp_path: Path) -> tuple[Path, Path]:
    """A tiny random network, and an unfolded random module for it: their files."""
    import timm  # only here: most tests go without torch
    import torch
    from safetensors.torch import save_file

    from afdcli.methods.afd import AFDConfig, AFDModule
    from afdcli.models.backbones import load_backbone
    from afdcli.models.checkpoint import Checkpoint, save_checkpoint

    torch.manual_seed(0)
    network, file = tmp_path / "network.safetensors", tmp_path / "module.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), network)
    backbone = load_backbone("test_resnet", network)
    tap = backbone.tap("stage1")
    module = AFDModule(AFDConfig(tap.place.channels, width=4, depth=1, later=tap.widths, rank=4))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_checkpoint(Checkpoint(module, "stage1", "test_resnet", backbone.fingerprint), file)
    return network, file


@contextmanager
def _no_room() -> Iterator[None]:
    resource = pytest.importorskip("resource", reason="limits are a POSIX system's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def no_room() -> Callable[[], AbstractContextManager[None]]:
    """Within this, no file gets longer than 2,000 bytes: the system itself refuses, as where the disk is full."""
    return _no_room


@pytest.fixture
def photos(tmp_path: Path, photo: Image.Image) -> Path:
    """A folder of good images, nested, each of other pixels than the next."""
    folder = tmp_path / "photos"
    names = ("a.jpg", "b.png", "cats/a.jpg", "cats/old/d.webp", "dogs/e.avif", "dogs/f.JPEG")
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.rotate(50 * number).save(path)
    return folder
