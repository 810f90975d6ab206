"""Whatever is done at the taps, the model is its own: its output, its weights, its names; and nothing is shared that
two classifiers, threads or copies could get into each other's way with."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch

from afdcli.formats.exports import EXPORTS
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.methods.remedy import Remedy
from afdcli.models.backbones import Backbone
from afdcli.models.classifier import DedriftedClassifier
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing

torch.set_num_threads(1)
NAMES = ["test_resnet", "test_vit", "test_mambaout"]
"""A map, tokens behind one of the class, and channels last."""


def backbone_of(name):
    torch.manual_seed(0)
    model = timm.create_model(name).eval().requires_grad_(False)
    with torch.no_grad():  # what is zero in a new model hides faults
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    size = model.pretrained_cfg["input_size"][-1]
    return Backbone(name, model, Preprocessing(size), (0.5,) * 3, (0.5,) * 3, Labels(()), "f" * 64)


def module_of(backbone, trained=True):
    tap = backbone.tap("auto")
    module = AFDModule(AFDConfig(tap.place.channels, width=4, depth=1, later=tap.widths, rank=4))
    if trained:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return module.eval()


@pytest.fixture(params=NAMES)
def backbone(request):
    return backbone_of(request.param)


@pytest.fixture
def images(backbone):
    return torch.rand(2, 3, backbone.preprocessing.size, backbone.preprocessing.size)


@pytest.mark.slow
@torch.no_grad()
def test_a_module_that_adds_nothing_leaves_the_logits_bit_for_bit(backbone, images):
    expected = backbone.model((images - 0.5) / 0.5)
    for module in (Remedy(), module_of(backbone, trained=False)):
        assert torch.equal(DedriftedClassifier(backbone, module, "auto").eval()(images), expected)
    assert not torch.equal(DedriftedClassifier(backbone, module_of(backbone), "auto").eval()(images), expected)


@pytest.mark.slow
def test_the_model_itself_is_not_touched_and_has_its_names(backbone, images):
    model = backbone.model
    before, names = {**model.__dict__}, list(model.state_dict())
    classifier = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    classifier(images).sum().backward()
    assert {**model.__dict__} == before and list(model.state_dict()) == names
    assert list(classifier.network.model.state_dict()) == names
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.grad is not None for parameter in classifier.module.enhance.leave.parameters())


@pytest.mark.slow
@torch.no_grad()
def test_weights_are_shared_and_stay_so(backbone, images):
    classifier = DedriftedClassifier(backbone, Remedy(), "auto").eval()
    before = classifier(images)
    classifier.double()
    assert {tensor.dtype for tensor in backbone.model.state_dict().values()} <= {torch.float64, torch.int64}
    classifier.float()
    for parameter in backbone.model.parameters():
        parameter.mul_(1.5)
    assert not torch.equal(classifier(images), before)
    assert torch.equal(classifier(images), backbone.model((images - 0.5) / 0.5))


@pytest.mark.slow
@torch.no_grad()
def test_two_classifiers_on_one_model_are_apart(backbone, images):
    teacher = DedriftedClassifier(backbone, Remedy(), "auto").eval()
    expected = teacher(images)
    student = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    moved = student(images)
    assert torch.equal(teacher(images), expected) and not torch.equal(moved, expected)
    assert torch.equal(student.outputs(images).found, teacher.outputs(images).features)
    assert torch.equal(student(images), moved)


@pytest.mark.slow
@torch.no_grad()
def test_threads_that_run_one_classifier_get_what_each_asked_for(backbone):
    classifier = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    size = backbone.preprocessing.size
    batches = [torch.rand(1 + number % 3, 3, size, size) for number in range(12)]
    with torch.no_grad():
        expected = [classifier(batch) for batch in batches]

    def run(batch):
        with torch.no_grad():
            return classifier(batch)

    with ThreadPoolExecutor(6) as threads:
        assert all(map(torch.equal, threads.map(run, batches), expected))


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_a_copy_is_independent(copied, backbone, images):
    classifier = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    expected, other = classifier(images), copied(classifier)
    assert torch.equal(other(images), expected)
    for parameter in other.module.parameters():
        parameter.zero_()
    assert torch.equal(other(images), backbone.model((images - 0.5) / 0.5))
    assert torch.equal(classifier(images), expected)


@pytest.mark.slow
@torch.no_grad()
def test_a_run_that_breaks_off_leaves_nothing_behind(backbone, images):
    classifier = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    expected = classifier(images)
    features = classifier.features(images)
    with pytest.raises(RuntimeError):
        classifier(images[:, :2])
    assert torch.equal(classifier(images), expected) and torch.equal(classifier.outputs(images).found, features)


@pytest.mark.slow
@torch.no_grad()
def test_it_compiles_and_exports_whole(backbone, images):
    classifier = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    expected = classifier(images)
    compiled = torch.compile(classifier, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), expected, atol=1e-5, rtol=1e-5)
    for strict in (False, True):
        shapes = ({0: torch.export.Dim("images", min=1, max=64)},)
        program = torch.export.export(classifier, (images,), dynamic_shapes=shapes, strict=strict).module()
        torch.testing.assert_close(program(images), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(program(images[:1]), expected[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPORTS)
def test_every_kind_of_export_gives_the_same(kind, backbone, tmp_path):
    classifier = DedriftedClassifier(backbone, module_of(backbone), "auto").eval()
    path = tmp_path / f"network{EXPORTS[kind].ending}"
    EXPORTS[kind].save(classifier.graph(), path)
    size = backbone.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = classifier(classifier.to_tensor(pixels)).softmax(1).numpy()
    np.testing.assert_allclose(EXPORTS[kind].load(path, "float32", None)([pixels])[0], expected, atol=1e-4)
