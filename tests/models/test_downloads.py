"""What is kept needs no network, and where there is none, that is said at once."""

import json
import socket
import time
from contextlib import contextmanager
from threading import Thread

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from afdcli.errors import AfdError, BackboneUnavailable, BadCheckpoint
from afdcli.models import downloads
from afdcli.models.backbones import load_backbone
from afdcli.models.downloads import answers

torch.set_num_threads(1)
COMMIT = "0" * 40
TINY = "test_resnet"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache, in a folder that is empty yet; no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(downloads, "answers", lambda url: False)
    return tmp_path / "hub"


def keep(cache, repository, files):
    """Have `files`, by name, in `cache`, as the hub's client leaves them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, dict) and name.endswith(".safetensors"):
            save_file(content, snapshot / name)
        elif isinstance(content, dict) and name.endswith(".bin"):
            torch.save(content, snapshot / name)
        else:
            (snapshot / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return snapshot


CONFIG = {
    "architecture": TINY,
    "num_classes": 3,
    "label_names": ["ant", "bee", "cat"],
    "pretrained_cfg": {
        "input_size": [3, 96, 96],
        "crop_pct": 0.9,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.5, 0.6, 0.7],
        "num_classes": 3,
        "pool_size": [3, 3],
        "first_conv": "conv1",
        "classifier": "fc",
    },
}


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return timm.create_model(TINY, num_classes=3).state_dict()


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("name", ["hf-hub:someone/ants", "hf_hub:someone/ants", "someone/ants"])
def test_a_model_of_the_hub_is_used_as_its_description_says(cache, state, name, file):
    keep(cache, "someone/ants", {"config.json": CONFIG, file: state})
    backbone = load_backbone(name)
    assert backbone.name == "hf-hub:someone/ants" and backbone.labels.names == ("ant", "bee", "cat")
    assert (backbone.preprocessing.size, backbone.preprocessing.crop_pct) == (96, 0.9)
    assert backbone.preprocessing.interpolation.name == "BILINEAR"
    assert (backbone.mean, backbone.std) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert all(torch.equal(tensor, state[key]) for key, tensor in backbone.model.state_dict().items())
    assert [path.name for path in backbone.files] == [file]
    assert load_backbone(backbone.name).fingerprint == backbone.fingerprint


def test_a_revision_is_one_of_its_own(cache, state):
    keep(cache, "someone/ants", {"config.json": CONFIG, "model.safetensors": state})
    assert load_backbone(f"hf-hub:someone/ants@{COMMIT}").name == f"hf-hub:someone/ants@{COMMIT}"
    with pytest.raises(BackboneUnavailable, match="not to be had"):
        load_backbone("hf-hub:someone/ants@v2")


def test_descriptions_and_wordnet_ids_are_labels(cache, state):
    ids = ["n01440764", "n01443537", "n02123045"]
    described = {
        **CONFIG,
        "label_names": ids,
        "label_descriptions": dict(zip(ids, ("tench", "fish", "tabby"), strict=True)),
    }
    keep(cache, "someone/ants", {"config.json": described, "model.safetensors": state})
    labels = load_backbone("someone/ants").labels
    assert labels.names == ("tench", "fish", "tabby") and labels.wnids == tuple(ids)


def test_a_checkpoint_goes_before_the_hubs_weights(cache, state, tmp_path):
    keep(cache, "someone/ants", {"config.json": CONFIG})
    torch.manual_seed(1)
    own = timm.create_model(TINY, num_classes=5).state_dict()
    torch.save({"state_dict": own}, tmp_path / "own.pth")
    backbone = load_backbone("someone/ants", tmp_path / "own.pth")
    assert len(backbone.labels.names) == 5 and backbone.preprocessing.size == 96
    with pytest.raises(BackboneUnavailable, match="not to be had"):
        load_backbone("someone/ants")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k"])
def test_timms_own_names_are_found_where_the_hub_keeps_them(cache, name):
    state = timm.create_model("resnet18").state_dict()
    keep(cache, "timm/resnet18.a1_in1k", {"model.safetensors": state})
    backbone = load_backbone(name)
    assert all(torch.equal(tensor, state[key]) for key, tensor in backbone.model.state_dict().items())
    assert backbone.labels.wnids[0] == "n01440764"
    with pytest.raises(BackboneUnavailable, match="fb_swsl_ig1b_ft_in1k are"):
        load_backbone("resnet18.fb_swsl_ig1b_ft_in1k")


def test_without_a_network_it_is_said_what_is_kept(cache, state):
    with pytest.raises(BackboneUnavailable, match=r"does not answer.*Kept here: none"):
        load_backbone("hf-hub:timm/resnet18.a1_in1k")
    keep(cache, "timm/resnet34.a1_in1k", {"config.json": CONFIG, "model.safetensors": state})
    keep(cache, "someone/else", {"config.json": CONFIG, "pytorch_model.bin": state})
    keep(cache, "someone/text", {"vocabulary.txt": "a"})
    with pytest.raises(BackboneUnavailable) as refusal:
        load_backbone("timm/resnet18.a1_in1k")
    assert str(refusal.value).endswith("Kept here: hf-hub:timm/resnet34.a1_in1k, hf-hub:someone/else.")
    with pytest.raises(BackboneUnavailable, match=r"resnet18 are not to be had.*--backbone-checkpoint"):
        load_backbone("resnet18")


def test_what_was_forbidden_is_not_asked(cache, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(downloads, "answers", lambda url: pytest.fail("asked"))
    with pytest.raises(BackboneUnavailable, match="HF_HUB_OFFLINE"):
        load_backbone("resnet18")


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "null",
        "{}",
        {"architectures": ["ResNetForImageClassification"]},
        {**CONFIG, "architecture": "qqqq"},
        {**CONFIG, "architecture": 7},
        {**CONFIG, "model_args": {"danger": 1}},
        {**CONFIG, "model_args": []},
        {**CONFIG, "pretrained_cfg": []},
        {**CONFIG, "pretrained_cfg": {"danger": 1}},
        {**CONFIG, "num_classes": 4},
        {**CONFIG, "num_classes": -1},
        {**CONFIG, "num_classes": "x"},
        {**CONFIG, "model_args": {"num_classes": 4}},
        {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], "input_size": "x"}},
        {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], "interpolation": "x"}},
        {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], "crop_pct": 2}},
        {**CONFIG, "pretrained_cfg": {**CONFIG["pretrained_cfg"], "mean": ["x"]}},
    ],
)
def test_a_description_that_is_none_of_timms_is_refused(cache, state, config):
    keep(cache, "someone/ants", {"config.json": config, "model.safetensors": state})
    with pytest.raises(AfdError) as refusal:
        load_backbone("someone/ants")
    assert "ants" in str(refusal.value) and "\n" not in str(refusal.value)


def test_weights_that_are_damaged_or_of_another_model_are_refused(cache, state):
    snapshot = keep(
        cache, "someone/ants", {"config.json": CONFIG, "model.safetensors": {**state, "fc.bias": torch.ones(2)}}
    )
    with pytest.raises(BadCheckpoint, match=r"cannot be used.*Delete it"):
        load_backbone("someone/ants")
    (snapshot / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        load_backbone("someone/ants")


@pytest.mark.parametrize(
    "name", ["hf-hub:", "hf-hub:a/b/c", "hf-hub:../../etc", "/tmp/x", "a//b", "hf-hub:a b/c", "-/-"]
)
def test_names_that_no_repository_can_have_are_refused(cache, name):
    with pytest.raises(BackboneUnavailable):
        load_backbone(name)


def test_a_model_that_has_no_weights_anywhere_is_refused():
    name = next(name for name in timm.list_models() if not timm.is_model_pretrained(name))
    with pytest.raises(BackboneUnavailable, match="timm has no weights"):
        load_backbone(name)
    with pytest.raises(BackboneUnavailable, match=r"no weights 'nonsense' for resnet18\. It has: a1_in1k"):
        load_backbone("resnet18.nonsense")


@contextmanager
def server(answer):
    """A server at whose address connections are taken, and get `answer`; None: nothing, ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if answer is not None:
                    connection.recv(1000)
                    connection.sendall(answer)
                    connection.close()

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_server_answers_or_does_not(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    for answer in (b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 404 Not Found\r\n\r\n"):
        with server(answer) as url:
            assert answers(url)
    with server(None) as url:
        assert not answers(url, patience=0.2)
    assert not answers("http://127.0.0.1:9/")
    assert not answers("nonsense")


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3600))
    assert not answers("https://huggingface.co", patience=0.2)
