"""What is in the cache is right, or is not taken."""

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

from afdcli.engines import cache as compiled
from afdcli.engines import loading
from afdcli.engines.loading import load_engine
from afdcli.errors import BadCheckpoint, Fallback, WrongUse
from afdcli.formats.exports import EXPORTS
from afdcli.models import classifier
from afdcli.models.classifier import load_classifier

pytestmark = pytest.mark.slow

torch.set_num_threads(1)

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 160, 160, 3), dtype=np.uint8)


def test_what_was_converted_is_kept_and_what_is_not_as_it_was_written_is_converted_again(options, cache, monkeypatch):
    keep, conversions = compiled.keep, []
    monkeypatch.setattr(compiled, "keep", lambda *args: conversions.append(args) or keep(*args))
    (cache / "of another program").touch()
    first = load_engine(options).predict_topk(PIXELS, 3)
    for _ in range(2):
        assert load_engine(options).predict_topk(PIXELS, 3)[1].tolist() == first[1].tolist()
    assert len(conversions) == 1
    (weights,) = cache.glob("*/*.bin")
    for damage in (b"", weights.read_bytes()[:-1] + b"\0", weights.read_bytes() + b"more"):
        weights.write_bytes(damage)
        assert load_engine(options).predict_topk(PIXELS, 3)[1].tolist() == first[1].tolist()
    assert len(conversions) == 4
    assert sorted(path.name for path in cache.glob("*/*")) == ["network.bin", "network.xml", "record.json"]
    assert len(list(cache.iterdir())) == 2, "nothing is left behind"


def test_what_is_whole_but_cannot_be_read_is_converted_again(options, cache):
    first = load_engine(options).predict_topk(PIXELS, 3)
    (network,) = cache.glob("*/*.xml")
    network.write_text("<net/>")
    record = json.loads((network.parent / "record.json").read_text())
    record["files"][network.name] = compiled.digest(network)
    (network.parent / "record.json").write_text(json.dumps(record))
    assert load_engine(options).predict_topk(PIXELS, 3)[1].tolist() == first[1].tolist()


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
        "import json, sys\nfrom pathlib import Path\nfrom afdcli.engines import cache, loading\n"
        "from afdcli.commands import classify, evaluate\nfrom afdcli.cli import report\n"
        "from afdcli.options import ModelOptions\n"
        f"cache.place = lambda: Path({str(cache)!r})\n"
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
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "afdcli" / "engines" / "cache.py"))
    load_engine(options)
    assert len(list(cache.iterdir())) == 2


def test_what_has_not_been_used_for_longest_goes_first(options, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "KEPT", 2)
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
    monkeypatch.setattr(compiled, "place", lambda: tmp_path / "file" / "cache")
    with pytest.warns(Fallback, match="cannot be written to"):
        load_engine(options).predict_topk(PIXELS, 3)


FULL = (OSError(28, "No space left on device"), RuntimeError("basic_ios::clear: iostream error"))


@pytest.mark.parametrize("error", FULL)
def test_a_full_cache_is_told_and_what_was_begun_goes(options, cache, monkeypatch, error):
    save, tried = compiled.format_of("openvino").save, []

    def save_elsewhere(graph, path):
        tried.append(path.parent)
        if path.is_relative_to(cache):
            path.write_bytes(b"begun")
            raise error
        save(graph, path)

    monkeypatch.setitem(EXPORTS, "openvino", replace(EXPORTS["openvino"], save=save_elsewhere))
    with pytest.warns(Fallback, match="not kept"):
        assert load_engine(options).engine == "openvino"
    assert len(tried) == 2 and not list(cache.iterdir())


@pytest.mark.parametrize("error", FULL)
def test_without_room_anywhere_torch_runs_it_unless_another_was_asked_for(options, cache, monkeypatch, error):
    def refuse(*_):
        raise error

    for engine in EXPORTS:
        monkeypatch.setitem(EXPORTS, engine, replace(EXPORTS[engine], save=refuse))
    with pytest.warns(Fallback), pytest.raises(WrongUse, match="--engine torch"):
        load_engine(options)
    with pytest.warns(Fallback, match="torch runs it"):
        assert load_engine(replace(options, engine="auto")).engine == "torch"
    monkeypatch.setattr(compiled, "place", lambda: None)
    with pytest.warns(Fallback, match="torch runs it"):
        assert load_engine(replace(options, engine="auto")).engine == "torch"


def test_where_there_is_no_folder_at_all_there_is_no_place(monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.undo()
    compiled._passing_folder.cache_clear()
    monkeypatch.setattr(compiled.platformdirs, "user_cache_path", lambda _: Path("~/.cache"))
    monkeypatch.setattr(compiled.tempfile, "mkdtemp", refuse)
    assert compiled.place() is None


def test_what_is_compiled_keeps_to_the_quota_of_a_container(options, monkeypatch):
    asked, load = [], EXPORTS["openvino"].load
    loads = lambda path, precision, threads: asked.append(threads) or load(path, precision, threads)  # noqa: E731
    monkeypatch.setitem(EXPORTS, "openvino", replace(EXPORTS["openvino"], load=loads))
    for threads in (None, 1):
        monkeypatch.setattr(compiled, "processors_allowed", lambda threads=threads: threads)
        load_engine(options)
    assert asked == [None, 1]


@pytest.mark.parametrize("found", [RuntimeError("no home"), Path("~/.cache/afd-dedrift")])
def test_an_account_without_a_home_gets_a_folder_that_goes_with_the_process(monkeypatch, found):
    """Where there is no home, some versions of platformdirs raise, others leave the ~ in the path."""

    def place(_):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.undo()
    monkeypatch.setattr(compiled.platformdirs, "user_cache_path", place)
    folder = compiled.place()
    assert folder.is_absolute() and folder.is_dir() and folder == compiled.place()
    assert folder.stat().st_mode & 0o077 == 0, "nobody else can put anything there"


def test_where_there_is_no_home_afd_is_imported_and_loads_all_the_same(options):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom afdcli.engines.loading import load_engine\n"
        "from afdcli.options import ModelOptions\n"
        "import pathlib, platformdirs\n"
        "def raises(*_): raise RuntimeError('no home')\n"
        "platformdirs.user_cache_path = raises\n"
        f"options = ModelOptions('test_resnet', Path({str(options.backbone_checkpoint)!r}), 'cpu', engine='openvino')\n"
        "print(load_engine(options).engine)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "openvino\n"
