"""torchvision's classifiers are used as torchvision evaluates them."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from afdcli.errors import BackboneUnavailable, BadCheckpoint, UnsupportedBackbone
from afdcli.models import downloads
from afdcli.models.backbones import load_backbone
from afdcli.models.from_torchvision import TorchvisionModel

torch.set_num_threads(1)
NAMES = torchvision.models.list_models(module=torchvision.models)
SMALL = "shufflenet_v2_x0_5"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """torch.hub's cache, in which weights can be kept; no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(downloads, "answers", lambda url: False)
    (tmp_path / "checkpoints").mkdir()

    def keep(name, state):
        url = torchvision.models.get_model_weights(name).DEFAULT.url
        torch.save(state, tmp_path / "checkpoints" / url.rpartition("/")[2])

    return keep


@pytest.mark.slow
def test_weights_preprocessing_and_labels_are_torchvisions(kept):
    torch.manual_seed(0)
    model = torchvision.models.get_model(SMALL).eval()
    kept(SMALL, model.state_dict())
    backbone = load_backbone(f"torchvision/{SMALL}")
    weights = torchvision.models.get_model_weights(SMALL).DEFAULT
    assert backbone.name == f"torchvision/{SMALL}"
    assert backbone.labels.names == tuple(weights.meta["categories"]) and backbone.labels.wnids[1] == "n01443537"
    pixels = np.random.default_rng(0).integers(0, 256, (300, 451, 3), np.uint8)
    image = Image.fromarray(pixels)
    own = torch.from_numpy(np.array(backbone.preprocessing(image))).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
    expected = weights.transforms()(image)[None]
    torch.testing.assert_close((own - mean) / std, expected)
    with torch.inference_mode():
        assert torch.equal(backbone.model(expected), model(expected))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_classifier_is_known_with_its_head_and_its_sizes(name):
    found = TorchvisionModel(f"torchvision/{name}")
    wanted = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    preprocessing = found.input(torch.nn.Identity()).preprocessing
    assert ([preprocessing.size], [preprocessing.short]) == (wanted.crop_size, wanted.resize_size)
    assert len(found.architecture.heads) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121", "mobilenet_v3_small", "regnet_y_400mf"])
def test_a_checkpoint_of_other_classes_goes_before_the_published_weights(name, tmp_path):
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, num_classes=4).eval()
    torch.save({"model": {f"module.{key}": one for key, one in model.state_dict().items()}}, tmp_path / "own.pth")
    backbone = load_backbone(f"torchvision/{name}", tmp_path / "own.pth")
    assert backbone.labels.names == ("0", "1", "2", "3") and backbone.part == "model"
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(backbone.model(images), model(images))


@pytest.mark.slow
def test_densenets_published_names_are_read(kept):
    state = torchvision.models.densenet121().state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): one for name, one in state.items()}
    assert old.keys() != state.keys()
    kept("densenet121", old)
    own = load_backbone("torchvision/densenet121").model.state_dict()
    assert all(torch.equal(own[name], one) for name, one in state.items())


@pytest.mark.slow
def test_what_changes_its_input_with_its_own_weights_alone_does_so(kept, tmp_path):
    state = torchvision.models.googlenet(init_weights=False).state_dict()
    kept("googlenet", state)
    assert load_backbone("torchvision/googlenet").model.transform_input
    torch.save(state, tmp_path / "own.pth")
    with pytest.raises(UnsupportedBackbone, match="may change its input"):
        load_backbone("torchvision/googlenet", tmp_path / "own.pth")


def test_without_weights_it_is_said_how_to_come_by_them(kept):
    with pytest.raises(BackboneUnavailable, match=r"not to be had.*does not answer.*--backbone-checkpoint"):
        load_backbone(f"torchvision/{SMALL}")
    kept(SMALL, {"a": torch.ones(1)})
    with pytest.raises(BadCheckpoint, match=r"damaged\. Delete it"):
        load_backbone(f"torchvision/{SMALL}")


@pytest.mark.parametrize("name", ["resnet5", "fcn_resnet50", "", "raft_large"])
def test_names_of_no_classifier_get_suggestions(name):
    with pytest.raises(BackboneUnavailable, match=rf"no classifier '{name}'\. Did you mean torchvision/"):
        load_backbone(f"torchvision/{name}")
