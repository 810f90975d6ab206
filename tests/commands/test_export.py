"""Exported files give what the classifier gives, and say how to use them."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import timm
import torch

from afdcli.commands import export as command
from afdcli.commands.export import export
from afdcli.errors import OutputRefused, ParityError, WrongUse
from afdcli.formats import exports
from afdcli.options import EXPORT_ENDINGS, ExportOptions, ModelOptions, ReadOptions
from afdcli.photos.reading import read_rgb

pytestmark = pytest.mark.slow

torch.set_num_threads(1)


@pytest.fixture
def options(tmp_path, photos, dedrifted):
    network, module = dedrifted
    (tmp_path / "out").mkdir()
    model = ModelOptions("test_resnet", network, "cpu")
    return ExportOptions(tmp_path / "out" / "m.onnx", (str(photos),), weights=str(module), model=model)


def described(path):
    """The metadata, read by the format's own library."""
    if path.suffix == ".onnx":
        (text,) = [one.value for one in onnx.load(path).metadata_props if one.key == "afd"]
    elif path.suffix == ".xml":
        text = exports.import_openvino().Core().read_model(path).get_rt_info(["afd"]).value
    else:
        files = {"afd.json": ""}
        torch.export.load(path, extra_files=files)
        text = files["afd.json"]
    return json.loads(text)


@pytest.mark.parametrize("format_", EXPORT_ENDINGS)
def test_a_file_gives_what_the_classifier_gives_and_tells_how(options, tmp_path, format_):
    output = tmp_path / "out" / f"m{EXPORT_ENDINGS[format_]}"
    exported = export(replace(options, output=output, format=format_))
    assert (exported.photos, exported.same_class) == (6, 6) and exported.difference < 1e-5
    assert set(exported.files) == set(output.parent.iterdir()) and output in exported.files
    assert exported.size == sum(path.stat().st_size for path in exported.files)
    about = described(output)
    assert about["backbone"] == "test_resnet" and about["method"] == "afd" and about["config"]["folded"]
    assert about["preprocessing"]["size"] == 160 and about["preprocessing"]["interpolation"] == "bilinear"
    assert about["classes"] == [str(number) for number in range(8)]
    assert (about["inputs"], about["outputs"]) == (["pixels"], ["probabilities", "drift"])


def test_without_a_module_it_is_timms_own_network(options, tmp_path, photos):
    export(replace(options, weights="none"))
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=8).eval()
    config = timm.data.resolve_data_config({}, model=model)
    photo = read_rgb(str(photos / "a.jpg"), ReadOptions()).image
    with torch.inference_mode():
        expected = model(timm.data.create_transform(**config)(photo)[None]).softmax(1).numpy()
    size = config["input_size"][-1]
    pixels = np.asarray(timm.data.create_transform(**{**config, "mean": (0,) * 3, "std": (1,) * 3})(photo))
    pixels = np.round(255 * pixels).astype(np.uint8).transpose(1, 2, 0)[None]
    assert pixels.shape == (1, size, size, 3)
    np.testing.assert_allclose(
        exports.EXPORTS["onnx"].load(options.output, "float32", None)([pixels])[0], expected, atol=1e-5
    )


def test_what_differs_is_not_written(options, monkeypatch):
    wrong = replace(exports.EXPORTS["onnx"], load=lambda *_: lambda inputs: [np.full((1, 8), 0.125, np.float32)])
    monkeypatch.setitem(command.EXPORTS, "onnx", wrong)
    with pytest.raises(ParityError, match="Nothing was written"):
        export(options)
    assert not list(options.output.parent.iterdir())


def test_refusals_say_what_to_do(options, tmp_path, monkeypatch):
    with pytest.raises(WrongUse, match=r"\.onnx"):
        replace(options, format="onnx", output=tmp_path / "m.xml")
    with pytest.raises(WrongUse, match="--format must be one of auto, onnx"):
        replace(options, format="tflite")
    with pytest.raises(OutputRefused):
        export(replace(options, output=tmp_path / "nowhere" / "m.onnx"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUse, match=r"There is no image in .*empty"):
        export(replace(options, photos=(str(tmp_path / "empty"),)))
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    with pytest.raises(WrongUse, match=r"pip install 'afd-dedrift\[onnx\]'"):
        export(options)
