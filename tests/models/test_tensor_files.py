"""Files from anybody: whatever is in them, they give what was written, or are refused in a sentence."""

import json
import struct

import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from afdcli.errors import AfdError, BadCheckpoint
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from afdcli.models.tensor_files import CHECKSUM, LARGEST_HEADER, read_safetensors

torch.set_num_threads(1)
TINY = "test_resnet"
FEW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The file of a module, and its tensors."""
    path = tmp_path_factory.mktemp("module") / "module.safetensors"
    torch.manual_seed(0)
    made = AFDModule(AFDConfig(8, width=2, depth=1, hidden=4, later=(0, 8), rank=2))
    save_checkpoint(Checkpoint(made, "stage1", TINY, "f" * 64), path)
    return path, made.state_dict()


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """The file of a backbone with labels, and its tensors."""
    path = tmp_path_factory.mktemp("backbone") / "backbone.safetensors"
    torch.manual_seed(0)
    state = timm.create_model(TINY, num_classes=3).state_dict()
    save_file(state, path, {"labels": json.dumps(["ant", "bee", "cat"])})
    return path, state


def parts(data):
    """The header of a safetensors file as JSON, and the bytes of its tensors."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, tensors):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], one) for name, one in expected.items())


@st.composite
def damaged(draw, data, everywhere):
    """`data` with a few bytes changed, left out or added: of its header alone, or `everywhere`."""
    (length,) = struct.unpack("<Q", data[:8])
    end = len(data) if everywhere else 8 + length
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, end - 1))
        kind = draw(st.sampled_from(["change", "cut", "add", "end"]))
        if kind == "change":
            found[place] = draw(st.integers(0, 255))
        elif kind == "cut":
            del found[place : place + draw(st.integers(1, 40))]
        elif kind == "add":
            found[place:place] = draw(st.binary(min_size=1, max_size=40))
        else:
            del found[place:]
        end = min(end, len(found))
        if not end:
            break
    return bytes(found)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
)


@st.composite
def rewritten(draw, data):
    """`data` with one field of its header, or of the JSON in its metadata, made another one."""
    header, tensors = parts(data)
    metadata = header["__metadata__"]
    name = draw(st.sampled_from(sorted(header)))
    if name != "__metadata__":
        field = draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
        likely = st.sampled_from(
            ["I32", "U32", "BF16", "F64", "C64", "BOOL", [1], [8, 8], [2**63, 2], [0, 2**64 - 1], [-1]]
        )
        header[name][field] = draw(likely | VALUES)
    else:
        key = draw(st.sampled_from(sorted(metadata)))
        if key == "config" and draw(st.booleans()):
            config = json.loads(metadata[key])
            likely = st.sampled_from([0, 1, 2, 10**6, 10**18, -1, True, [8], [0] * 10**5, "angle", 2.0])
            config[draw(st.sampled_from([*sorted(config), "danger"]))] = draw(likely | VALUES)
            metadata[key] = json.dumps(config)
        else:
            metadata[key] = draw(st.text(max_size=50) | VALUES.map(json.dumps))
    return joined(header, tensors)


@pytest.mark.slow
@FEW
@given(st.data())
def test_a_damaged_module_is_as_it_was_written_or_refused(module, tmp_path, data):
    path, expected = module
    content = data.draw(st.one_of(damaged(path.read_bytes(), everywhere=True), rewritten(path.read_bytes())))
    (tmp_path / "module.safetensors").write_bytes(content)
    try:
        found = load_checkpoint(tmp_path / "module.safetensors")
    except AfdError as error:
        assert "\n" not in str(error)
        return
    assert same(found.module.state_dict(), expected)
    assert (found.tap, found.backbone, found.fingerprint) == ("stage1", TINY, "f" * 64)


@pytest.mark.slow
@FEW
@given(st.data())
def test_a_damaged_backbone_is_as_it_was_written_or_refused(backbone, tmp_path, data):
    """A safetensors file has no checksum: of its tensors' bytes nobody can tell, so its header is what is damaged."""
    path, expected = backbone
    content = data.draw(st.one_of(damaged(path.read_bytes(), everywhere=False), rewritten(path.read_bytes())))
    (tmp_path / "backbone.safetensors").write_bytes(content)
    try:
        found = load_backbone(TINY, tmp_path / "backbone.safetensors")
    except AfdError as error:
        assert "\n" not in str(error)
        return
    assert same(found.model.state_dict(), expected)


@pytest.mark.parametrize("length", [LARGEST_HEADER + 1, 2**40, 2**63, 2**64 - 1])
@pytest.mark.parametrize("load", [read_safetensors, load_checkpoint, lambda path: load_backbone(TINY, path)])
def test_a_header_that_is_too_large_is_not_read(length, load, tmp_path):
    with (tmp_path / "a.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", length) + b'{"a": {')
        file.truncate(LARGEST_HEADER + 1000)
    with pytest.raises(BadCheckpoint, match=r"cannot be read.*its header would have"):
        load(tmp_path / "a.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"width": 1 << 16, "growth": 1 << 16, "depth": 16},
        {"depth": 10**9},
        {"depth": 17},
        {"later": [8] * 10**6},
        {"later": [8] * 500},
        {"channels": 10**12},
        {"hidden": 1 << 16, "channels": 1 << 16},
        {"estimator": ["angle"]},
        {"later": 8},
        {"later": [[8]]},
        {"channels": 8.0},
        {"channels": True},
        {"folded": 1},
        {"rank": -1},
        {"channels": None},
    ],
)
def test_a_config_of_any_size_is_refused_before_anything_is_built(change, module, tmp_path):
    header, tensors = parts(module[0].read_bytes())
    metadata = header["__metadata__"]
    metadata["config"] = json.dumps({**json.loads(metadata["config"]), **change})
    del metadata[CHECKSUM]  # as one of before there were checksums, or one whose maker means harm
    (tmp_path / "a.safetensors").write_bytes(joined(header, tensors))
    with pytest.raises(BadCheckpoint, match="changed or is damaged"):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" * 10**6, "{" * 10**6, '{"a":' * 10**5, "9" * 10**6, "", "null", "[]", '"x"'])
def test_json_of_any_depth_is_refused(text, module, backbone, tmp_path):
    for (path, _), key in ((module, "config"), (backbone, "labels")):
        header, tensors = parts(path.read_bytes())
        header["__metadata__"][key] = text
        header["__metadata__"].pop(CHECKSUM, None)
        (tmp_path / "a.safetensors").write_bytes(joined(header, tensors))
        with pytest.raises(BadCheckpoint, match=r"changed or is damaged|labels in"):
            (load_checkpoint if key == "config" else lambda path: load_backbone(TINY, path))(tmp_path / "a.safetensors")


def test_weights_that_were_changed_since_are_refused(module, tmp_path):
    header, _ = parts(module[0].read_bytes())
    tensors = load_file(module[0])
    tensors["enhance.enter.1.weight"] += 1e-3
    save_file(tensors, tmp_path / "a.safetensors", header["__metadata__"])
    with pytest.raises(BadCheckpoint, match="not what was written"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_modules_of_before_there_were_checksums_load(module, tmp_path):
    path, expected = module
    header, tensors = parts(path.read_bytes())
    del header["__metadata__"][CHECKSUM]
    (tmp_path / "a.safetensors").write_bytes(joined(header, tensors))
    assert same(load_checkpoint(tmp_path / "a.safetensors").module.state_dict(), expected)
