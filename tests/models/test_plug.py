"""A module goes into classifiers of anybody's making, and they are called as before."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

import afdcli
from afdcli.errors import BadCheckpoint, UnsupportedBackbone, WrongUse
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.methods.remedy import Remedy
from afdcli.models.inputs import input_of
from afdcli.models.plug import backbone_of
from afdcli.photos.preprocessing import Preprocessing

torch.set_num_threads(1)
FED = afdcli.Input(Preprocessing(64, 1.0), (0.5,) * 3, (0.25,) * 3)
QUICK = {"steps": 2, "batch_size": 4, "width": 4, "depth": 1, "hidden": 8, "rank": 4, "device": "cpu"}


class Own(nn.Module):
    """A plain network, with a buffer and dropout."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(inplace=True)
        )
        self.last = nn.Conv2d(12, 16, 3, 2, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 7))

    def forward(self, x):
        return self.head(self.last(self.body(x)).relu())


def hugging_face(kind):
    transformers = pytest.importorskip("transformers", reason="pip install 'afd-dedrift[test]'")
    if kind == "vit":
        sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
        config = transformers.ViTConfig(image_size=64, patch_size=16, num_labels=7, **sizes)
        return transformers.ViTForImageClassification(config)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic", num_labels=7
    )
    return transformers.ResNetForImageClassification(config)


MODELS = {
    "own": (Own, "body.4"),
    "torchvision": (lambda: torchvision.models.mobilenet_v2(num_classes=7), "features.3"),
    "timm": (lambda: timm.create_model("test_resnet", num_classes=7), "layer2"),
    "hugging face resnet": (lambda: hugging_face("resnet"), "resnet.encoder.stages.1"),
    "hugging face vit": (lambda: hugging_face("vit"), "vit.layers.1"),
}


@pytest.fixture(params=MODELS)
def model_and_tap(request):
    make, tap = MODELS[request.param]
    torch.manual_seed(0)
    return make(), tap


def logits(output):
    return output if isinstance(output, torch.Tensor) else output.logits


def module_of(model, tap):
    found = backbone_of(model, FED).tap(tap)
    module = AFDModule(AFDConfig(found.place.channels, width=4, depth=1, later=found.widths, rank=4))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module


@pytest.mark.slow
@torch.no_grad()
def test_it_answers_as_the_model_does_and_the_module_changes_that(model_and_tap):
    model, tap = model_and_tap
    images = torch.randn(2, 3, 64, 64)
    modes = {name: module.training for name, module in model.named_modules()}
    untouched, mended = afdcli.plug(model, Remedy(), tap, FED), afdcli.plug(model, module_of(model, tap), tap, FED)
    assert {name: module.training for name, module in model.named_modules()} == modes
    expected = copy.deepcopy(model).eval()(images)
    assert type(untouched(images)) is type(expected)
    assert torch.equal(logits(untouched(images)), logits(expected))
    assert not torch.equal(logits(mended(images)), logits(expected))


@pytest.mark.slow
def test_training_leaves_the_model_and_gives_a_module_that_is_plugged_in(model_and_tap, photos, tmp_path):
    model, tap = model_and_tap
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained = afdcli.train_module(
        model, photos, output=tmp_path / "module.safetensors", tap=tap, preprocessing=FED, **QUICK
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert trained.tap == tap and trained.input == FED
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        first, again = (afdcli.plug(model, one)(images) for one in (trained, tmp_path / "module.safetensors"))
        assert torch.equal(logits(first), logits(again))
        next(iter(model.parameters())).mul_(2)
    with pytest.raises(BadCheckpoint, match="other weights"):
        afdcli.plug(model, trained)


@pytest.mark.slow
def test_what_trains_the_model_as_well_leaves_it_too(photos, tmp_path):
    model = Own()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained = afdcli.train_module(
        model, photos, output=tmp_path / "m.safetensors", tap="body.4", preprocessing=FED, method="fct", **QUICK
    )
    mended = afdcli.plug(model, trained)
    assert trained.changed and not torch.equal(mended.network.model.last.weight, model.last.weight)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("preprocessing", "said"),
    [
        (None, "preprocessing is missing, which says how Own is fed"),
        (224, "preprocessing cannot be a int"),
        (afdcli.Input(Preprocessing(2), (0.5,) * 3, (0.5,) * 3), "no place"),
    ],
)
def test_how_a_model_is_fed_must_be_known_and_fit(preprocessing, said):
    with pytest.raises((WrongUse, UnsupportedBackbone), match=said):
        afdcli.plug(Own(), Remedy(), preprocessing=preprocessing)


def test_what_does_not_classify_images_is_refused_in_a_sentence():
    for model in (nn.Linear(5, 2), nn.Sequential(nn.Identity(), nn.LSTM(3, 3))):
        with pytest.raises(UnsupportedBackbone, match="does not classify images of 64 x 64 pixels"):
            afdcli.plug(model, Remedy(), preprocessing=FED)


def test_torchvisions_transforms_and_timms_config_feed_a_network_as_they_do_themselves():
    preset = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    for preprocessing, own in ((preset, preset), (timm.create_model("test_resnet").pretrained_cfg, None)):
        wanted = input_of(Own(), preprocessing)
        expected = (own or timm.data.create_transform(**timm.data.resolve_data_config(preprocessing)))(image)
        found = torch.from_numpy(np.array(wanted.preprocessing(image))).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(one).view(3, 1, 1) for one in (wanted.mean, wanted.std))
        torch.testing.assert_close((found - mean) / std, expected, atol=0.02, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViTImageProcessor", "ConvNextImageProcessor", "BitImageProcessor"])
def test_an_image_processor_feeds_a_network_as_it_does_itself(name):
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, name)()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    wanted = input_of(Own(), processor)
    expected = processor(image, return_tensors="pt")["pixel_values"][0]
    found = torch.from_numpy(np.array(wanted.preprocessing(image))).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (wanted.mean, wanted.std))
    torch.testing.assert_close((found - mean) / std, expected, atol=0.02, rtol=0)


@pytest.mark.slow
def test_the_example_in_the_readme_runs(photos, tmp_path, monkeypatch):
    readme = Path(__file__).parents[2] / "README.md"
    (code,) = re.findall(r"```python\n(import afdcli\nimport torchvision.*?)```", readme.read_text("utf-8"), re.DOTALL)
    code = code.replace("weights=weights)\nmodule", "weights=None)\nmodule")  # nothing is downloaded
    code = code.replace('tap="layer2",', 'tap="layer2", steps=1, batch_size=2, device="cpu",')
    monkeypatch.chdir(tmp_path)
    scope = {"image": Image.open(photos / "a.jpg")}
    exec(code, scope)
    assert scope["logits"].shape == (1, 1000) and (tmp_path / "module.safetensors").exists()
