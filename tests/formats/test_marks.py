"""Marks are found where other libraries put them, and any other file has none."""

import json
import zipfile

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file

from afdcli.formats.marks import read_mark

ENDINGS = (".png", ".safetensors", ".onnx", ".xml", ".bin", ".pt2", ".csv", "")


def test_the_text_of_a_picture(tmp_path):
    about = PngImagePlugin.PngInfo()
    about.add_text("Title", "a title")
    about.add_text("Software", "afd explain")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=about)
    assert read_mark(tmp_path / "a.png") == "afd explain"
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert read_mark(tmp_path / "b.png") is None


def test_the_metadata_of_tensors(tmp_path):
    path, tensors = tmp_path / "a.safetensors", {"a": np.zeros(3, np.float32)}
    for metadata, expected in (
        ({"program": "afd fuse"}, "afd fuse"),
        ({"format": "pt"}, None),
        (None, None),
        ({"format": "afd-dedrift 1", "config": json.dumps({"folded": True})}, "afd fuse"),  # of before
        ({"format": "afd-dedrift 1", "config": json.dumps({"width": 8})}, "afd train"),
        ({"settings": "{}", "done": "3", "best": "inf"}, "afd train"),
    ):
        save_file(tensors, path, metadata)
        assert read_mark(path) == expected, metadata


def test_weights_are_those_of_the_network_beside_them_only_in_their_size(tmp_path):
    network, weights = tmp_path / "a.xml", tmp_path / "a.bin"
    weights.write_bytes(bytes(24))
    assert read_mark(weights) is None
    layers = '<layers><layer><data offset="0" size="8"/></layer><layer><data offset="8" size="16"/></layer></layers>'
    network.write_text(f"<net>{layers}</net>")
    assert (read_mark(network), read_mark(weights)) == (None, None)
    network.write_text(f'<net>{layers}<rt_info><afd value="{{}}"/></rt_info></net>')
    assert (read_mark(network), read_mark(weights)) == ("afd export", "afd export")
    weights.write_bytes(bytes(25))
    assert read_mark(weights) is None


def test_other_archives_have_none(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as file:
        file.writestr("a/data.pkl", b"")
    assert read_mark(tmp_path / "a.pt2") is None


HEADS = st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"<net>", (9).to_bytes(8, "little"), b"\xff" * 8])


@settings(max_examples=60, deadline=None)
@given(head=HEADS, data=st.binary(max_size=60), ending=st.sampled_from(ENDINGS))
def test_files_of_any_content_have_none(tmp_path_factory, head, data, ending):
    path = tmp_path_factory.mktemp("any") / f"a{ending}"
    path.write_bytes(head + data)
    assert read_mark(path) is None
    assert read_mark(path.with_name("missing" + ending)) is None
