"""Every engine says what torch says."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from afdcli.engines import loading
from afdcli.engines.loading import COMPILED, CompiledClassifier, load_engine
from afdcli.errors import BadCheckpoint, WrongUse
from afdcli.formats import exports
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.methods.fct import FCTConfig, FCTModule
from afdcli.models import classifier
from afdcli.models.backbones import load_backbone, split
from afdcli.models.checkpoint import Checkpoint, save_checkpoint
from afdcli.models.classifier import DedriftedClassifier, load_classifier
from afdcli.options import ModelOptions

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of their own for these tests; the others share one."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(loading, "CACHE", folder)
    return folder


@pytest.fixture
def options(tmp_path):
    """A tiny random network, with a module of each kind that an engine treats differently."""
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), tmp_path / "network.safetensors")
    backbone = load_backbone("test_resnet", tmp_path / "network.safetensors")
    cut = split(backbone, "stage1")
    for name, module in (
        ("afd", AFDModule(AFDConfig(cut.channels, width=4, later=cut.blocks, rank=4))),
        ("fct", FCTModule(FCTConfig(cut.channels, width=4))),
    ):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        checkpoint = Checkpoint(module, "stage1", "test_resnet", backbone.fingerprint)
        save_checkpoint(checkpoint, tmp_path / f"{name}.safetensors")
    return ModelOptions("test_resnet", tmp_path / "network.safetensors", "cpu", engine="openvino")


PIXELS = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)
QUALITY = np.array([10, np.nan, 90, 50, np.nan], dtype=np.float32)


@pytest.mark.parametrize("engine", COMPILED)
@pytest.mark.parametrize("weights", ["none", "afd", "fct"])
def test_a_compiled_classifier_gives_what_torch_gives_for_any_number_of_images(options, tmp_path, weights, engine):
    weights = weights if weights == "none" else str(tmp_path / f"{weights}.safetensors")
    compiled, plain = (load_engine(replace(options, engine=name), weights) for name in (engine, "torch"))
    assert isinstance(compiled, CompiledClassifier) and isinstance(plain, DedriftedClassifier)
    for count in (5, 1, 3):
        found, expected = (one.top(PIXELS[:count], 8, QUALITY[:count]) for one in (compiled, plain))
        assert found[0].tolist() == expected[0].tolist()
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
        assert (found[2] is None) == (expected[2] is None)
        if found[2] is not None:
            np.testing.assert_allclose(found[2], expected[2], atol=1e-5)


def test_the_shipped_classifier_is_the_same_compiled():
    model = ModelOptions(device="cpu")
    pixels = np.random.default_rng(1).integers(0, 256, (3, 7, 7, 3), dtype=np.uint8)
    pixels = pixels.repeat(32, axis=1).repeat(32, axis=2)
    found, expected = (load_engine(replace(model, engine=name), "auto").top(pixels, 5) for name in ("auto", "torch"))
    assert found[0].tolist() == expected[0].tolist()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
    np.testing.assert_allclose(found[2], expected[2], atol=1e-5)


def test_what_was_converted_is_kept_and_what_is_not_as_it_was_written_is_converted_again(options, cache, monkeypatch):
    convert, conversions = loading._convert, []
    monkeypatch.setattr(loading, "_convert", lambda *args: conversions.append(args) or convert(*args))
    (cache / "of another program").touch()
    first = load_engine(options).top(PIXELS, 3)
    for _ in range(2):
        assert load_engine(options).top(PIXELS, 3)[1].tolist() == first[1].tolist()
    assert len(conversions) == 1
    (weights,) = cache.glob("*/*.bin")
    for damage in (b"", weights.read_bytes()[:-1] + b"\0", weights.read_bytes() + b"more"):
        weights.write_bytes(damage)
        assert load_engine(options).top(PIXELS, 3)[1].tolist() == first[1].tolist()
    assert len(conversions) == 4
    assert sorted(path.name for path in cache.glob("*/*")) == ["network.bin", "network.xml", "record.json"]
    assert len(list(cache.iterdir())) == 2, "nothing is left behind"


def test_what_is_whole_but_cannot_be_read_is_converted_again(options, cache):
    first = load_engine(options).top(PIXELS, 3)
    (network,) = cache.glob("*/*.xml")
    network.write_text("<net/>")
    record = json.loads((network.parent / "record.json").read_text())
    record["files"][network.name] = loading._digest(network)
    (network.parent / "record.json").write_text(json.dumps(record))
    assert load_engine(options).top(PIXELS, 3)[1].tolist() == first[1].tolist()


def test_other_weights_are_never_taken_for_these(options, cache, tmp_path):
    module = tmp_path / "afd.safetensors"
    plain, dedrifted = load_engine(options), load_engine(options, str(module))
    assert len(list(cache.glob("*/*.xml"))) == 2
    assert (plain.about.method, dedrifted.about.method) == ("none", "afd")
    assert (plain.added_macs(), plain.added_parameters()) == (0, 0) and dedrifted.added_macs() > 0
    (tmp_path / "fct.safetensors").replace(module)  # another file under the same name
    assert load_engine(options, str(module)).about.method == "fct"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), options.backbone_checkpoint)
    assert load_engine(options).about.backbone_sha256 != plain.about.backbone_sha256
    options.backbone_checkpoint.unlink()
    with pytest.raises(BadCheckpoint, match="There is no file"):
        load_engine(options)


def test_a_module_that_has_come_since_is_found(options, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "SHIPPED", (tmp_path / "shipped",))
    assert load_engine(options, "auto").about.method == "none"
    (tmp_path / "shipped").mkdir()
    (tmp_path / "afd.safetensors").replace(tmp_path / "shipped" / "test_resnet.safetensors")
    for _ in range(2):
        assert load_engine(options, "auto").about.method == "afd"


@pytest.mark.parametrize("weights", ["none", "afd", "fct"])
def test_what_is_in_the_cache_is_known_without_torch(options, tmp_path, cache, weights):
    """Nor timm: both take seconds to import."""
    weights = weights if weights == "none" else str(tmp_path / f"{weights}.safetensors")
    expected = load_classifier(options, weights)
    load_engine(options, weights)
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom afdcli.engines import loading\n"
        "from afdcli.commands import classify, evaluate\nfrom afdcli.cli import report\n"
        "from afdcli.options import ModelOptions\n"
        f"loading.CACHE = Path({str(cache)!r})\n"
        f"options = ModelOptions('test_resnet', Path({str(options.backbone_checkpoint)!r}), 'cpu')\n"
        f"one = loading.load_engine(options, {weights!r})\n"
        "print(json.dumps([one.engine, one.about.to_json(), one.added_parameters(), one.added_macs()]))\n"
        "print({'torch', 'timm', 'torchvision'} & set(sys.modules))"
    )
    same_copy = Path(loading.__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=same_copy)
    about, imported = run.stdout.splitlines()
    counts = [expected.added_parameters(), expected.added_macs()]
    assert json.loads(about) == ["openvino", json.loads(json.dumps(expected.about.to_json())), *counts]
    assert imported == "set()"


def test_two_copies_of_afd_do_not_share_what_they_converted(options, cache, tmp_path, monkeypatch):
    """They may come with different modules."""
    load_engine(options)
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "afdcli" / "engines" / "loading.py"))
    load_engine(options)
    assert len(list(cache.iterdir())) == 2


def test_what_has_not_been_used_for_longest_goes_first(options, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "KEPT", 2)
    for age, weights in ((200, "none"), (100, str(tmp_path / "afd.safetensors"))):
        before = set(cache.iterdir())
        load_engine(options, weights)
        (folder,) = set(cache.iterdir()) - before
        os.utime(folder, (time.time() - age,) * 2)
    load_engine(options)
    load_engine(options, str(tmp_path / "fct.safetensors"))
    methods = {json.loads(record.read_text())["about"]["method"] for record in cache.glob("*/record.json")}
    assert methods == {"none", "fct"}


def test_without_a_cache_that_can_be_written_it_works_as_well(options, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(loading, "CACHE", tmp_path / "file" / "cache")
    load_engine(options).top(PIXELS, 3)


def test_an_engine_that_is_not_there_is_refused_and_auto_does_without(options, monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    with pytest.raises(WrongUse, match="pip install openvino"):
        load_engine(options)
    with pytest.raises(WrongUse, match=r"pip install 'afd-dedrift\[onnx\]'"):
        load_engine(replace(options, engine="onnxruntime"))
    assert isinstance(load_engine(replace(options, engine="auto")), DedriftedClassifier)
    with pytest.raises(WrongUse, match="--engine must be one of auto, torch, openvino, onnxruntime"):
        replace(options, engine="tensorflow")


@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_bfloat16_gives_nearly_the_same(options, tmp_path, engine):
    weights = str(tmp_path / "afd.safetensors")
    half = load_engine(replace(options, engine=engine, precision="bfloat16"), weights).top(PIXELS, 8)
    whole = load_engine(options, weights).top(PIXELS, 8)
    shares = [np.zeros((5, 8)), np.zeros((5, 8))]
    for share, (index, probability, drift) in zip(shares, (half, whole), strict=True):
        assert probability.dtype == drift.dtype == np.float32
        np.put_along_axis(share, index, probability, 1)
    assert 0 < np.abs(shares[0] - shares[1]).max() < 0.02, "not the same bits, and near"


def test_bfloat16_where_an_engine_does_not_have_it(options, monkeypatch):
    half = replace(options, precision="bfloat16")
    with pytest.raises(WrongUse, match="Use --engine torch"):
        load_engine(replace(half, engine="onnxruntime"))
    monkeypatch.setitem(
        exports.FORMATS, "openvino", replace(exports.FORMATS["openvino"], computes=lambda name: name == "float32")
    )
    assert isinstance(load_engine(replace(half, engine="auto")), DedriftedClassifier)
    with pytest.raises(WrongUse, match="--precision must be one of float32, bfloat16"):
        replace(options, precision="float8")


def test_openvino_reports_its_use_to_nobody():
    code = (
        "import sys\nfrom afdcli.formats import exports\nexports.import_openvino()\n"
        "print([name for name in sys.modules if 'openvino_telemetry' in name and sys.modules[name]])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_the_first_inferences_may_meet(options, cache):
    """Here each thread gives way to the others whenever it can."""
    load_engine(options)
    (network,) = cache.glob("*/network.xml")
    code = (
        "import threading, time\nimport numpy as np\nfrom pathlib import Path\nfrom afdcli.runtimes import FORMATS\n"
        f"run = FORMATS['openvino'].load(Path({str(network)!r}), 'float32')\n"
        "threading.setprofile(lambda frame, event, argument: time.sleep(0) if event == 'c_call' else None)\n"
        "pixels = np.zeros((1, 160, 160, 3), np.uint8)\n"
        "threads = [threading.Thread(target=run, args=([pixels],)) for _ in range(3)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(loading.__file__).parents[2])
