"""Which of the weights in a file are taken: timm's rule, or the user's word, and never a guess."""

import argparse
import pathlib
from fractions import Fraction

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import load_state_dict

from afdcli.errors import BadCheckpoint, WrongUse
from afdcli.models.backbones import load_backbone
from afdcli.options import ModelOptions

TINY = "test_resnet"
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def weights():
    """Weights by name of two networks of seven classes, which are told apart by their heads' biases."""
    torch.manual_seed(0)
    first = timm.create_model(TINY, num_classes=7).state_dict()
    return first, {**first, "fc.bias": torch.arange(7.0)}


def under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def inside(state):
    """As torch.compile and DataParallel of a block name its tensors."""
    return {name.replace("layer1.0.", "layer1._orig_mod.module.0."): tensor for name, tensor in state.items()}


ARGUMENTS = argparse.Namespace(model=TINY, lr=0.1, mean=(0.5, 0.5), opt=None, nested=argparse.Namespace(a=[1, "b"]))
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
HEAD = {"criterion.weight": torch.ones(7), "train_acc.total": torch.tensor(3)}

# By name: what is saved of the weights that are meant and of others, where they are found, and whether they are EMA.
FILES = {
    "plain": (lambda right, wrong: right, "", None),
    "data parallel": (lambda right, wrong: under("module.", right), "", None),
    "compiled": (lambda right, wrong: under("_orig_mod.", right), "", None),
    "both": (lambda right, wrong: under("module._orig_mod.", right), "", None),
    "both, the other way": (lambda right, wrong: under("_orig_mod.module.", right), "", None),
    "a wrapped block": (lambda right, wrong: inside(right), "", None),
    "state_dict": (lambda right, wrong: {"state_dict": right, "epoch": 3}, "state_dict", False),
    "model": (lambda right, wrong: {"model": under("module.", right), "optimizer": OPTIMIZER}, "model", False),
    "a name beside it": (lambda right, wrong: {"model": "resnet", "state_dict": right}, "state_dict", False),
    "another name": (lambda right, wrong: {"net": right, "acc": 93.1, "optimizer": OPTIMIZER}, "net", False),
    "state_dict_ema": (lambda right, wrong: {"state_dict": wrong, "state_dict_ema": right}, "state_dict_ema", True),
    "model_ema": (lambda right, wrong: {"model_ema": right, "model": wrong}, "model_ema", True),
    "both EMA": (lambda right, wrong: {"model_ema": wrong, "state_dict_ema": right}, "state_dict_ema", True),
    "both not EMA": (lambda right, wrong: {"model": wrong, "state_dict": right}, "state_dict", False),
    "no EMA after all": (lambda right, wrong: {"state_dict": right, "state_dict_ema": None}, "state_dict", False),
    "timm's train.py": (
        lambda right, wrong: {
            "arch": TINY,
            "optimizer": OPTIMIZER,
            "args": ARGUMENTS,
            "metric": 51.5,
            "state_dict": wrong,
            "state_dict_ema": right,
        },
        "state_dict_ema",
        True,
    ),
    "torchvision's train.py": (
        lambda right, wrong: {
            "model": wrong,
            "args": ARGUMENTS,
            "optimizer": OPTIMIZER,
            "epoch": 1,
            "model_ema": {**under("module.", right), "n_averaged": torch.tensor(9)},
        },
        "model_ema",
        True,
    ),
    "Lightning": (
        lambda right, wrong: {
            "state_dict": {**under("model.", right), **HEAD},
            "hyper_parameters": {"lr": 0.1},
            "pytorch-lightning_version": "2.5.0",
        },
        "state_dict/model",
        False,
    ),
    "Lightning, compiled": (
        lambda right, wrong: {"state_dict": under("net._orig_mod.module.", right)},
        "state_dict/net",
        False,
    ),
    "Lightning with EMA": (
        lambda right, wrong: {"state_dict": {**under("model.", wrong), **under("ema.module.", right)}},
        "state_dict/ema",
        True,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_weights_are_taken_as_people_have_them(name, weights, tmp_path):
    wrong, right = weights
    make, part, ema = FILES[name]
    torch.save(make(right, wrong), tmp_path / "file.pth")
    backbone = load_backbone(TINY, tmp_path / "file.pth")
    assert all(torch.equal(tensor, right[name]) for name, tensor in backbone.model.state_dict().items())
    assert backbone.part == part
    assert _about(backbone).backbone_ema is ema


def _about(backbone):
    from afdcli.models.classifier import DedriftedClassifier

    return DedriftedClassifier(backbone).about


@pytest.mark.parametrize("name", [name for name in FILES if "Lightning" not in name and name != "another name"])
def test_the_rule_is_timms(name, weights, tmp_path):
    wrong, right = weights
    torch.save(FILES[name][0](right, wrong), tmp_path / "file.pth")
    by_timm = load_state_dict(str(tmp_path / "file.pth"))
    if isinstance(by_timm, dict) and "fc.bias" in by_timm:
        own = load_backbone(TINY, tmp_path / "file.pth").model.state_dict()
        assert torch.equal(own["fc.bias"], by_timm["fc.bias"])


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model.", "state_dict_ema.module."])
def test_safetensors_may_be_wrapped_as_well(prefix, weights, tmp_path):
    save_file(under(prefix, weights[1]), tmp_path / "file.safetensors")
    own = load_backbone(TINY, tmp_path / "file.safetensors").model.state_dict()
    assert torch.equal(own["fc.bias"], weights[1]["fc.bias"])


@pytest.mark.parametrize("name", ["state_dict_ema", "model_ema", "timm's train.py", "Lightning with EMA"])
def test_who_wants_other_weights_than_the_average_gets_them(name, weights, tmp_path):
    wrong, right = weights
    torch.save(FILES[name][0](right, wrong), tmp_path / "file.pth")
    for ema, expected in (("yes", right), ("no", wrong)):
        own = load_backbone(TINY, tmp_path / "file.pth", ema).model.state_dict()
        assert torch.equal(own["fc.bias"], expected["fc.bias"])


@pytest.mark.parametrize(
    ("content", "ema", "reason"),
    [
        (lambda one, other: {"state_dict": one}, "yes", "no EMA weights"),
        (lambda one, other: one, "yes", "no EMA weights"),
        (lambda one, other: {"state_dict_ema": one}, "no", "EMA weights alone"),
        (lambda one, other: {"student": one, "teacher": other}, "auto", "several networks.*'student' and 'teacher'"),
        (lambda one, other: {"state_dict": {**under("a.", one), **under("b.", other)}}, "auto", "several networks"),
        (lambda one, other: {**one, "module.fc.bias": other["fc.bias"]}, "auto", r"'fc\.bias' twice"),
        (
            lambda one, other: {**under("model.", one), "classifier.weight": torch.ones(3, 7)},
            "auto",
            r"layers beside it.*'classifier\.weight'",
        ),
        (lambda one, other: {**one, "extra.weight": torch.ones(3, 7)}, "auto", r"unknown, extra\.weight first"),
        (lambda one, other: under("model.", {**one, "extra": torch.ones(3)}), "auto", "unknown, extra first"),
        (lambda one, other: {"model": {**one, "fc.weight": torch.ones(7, 3)}}, "auto", r"shapes differ, 'fc\.weight'"),
    ],
)
def test_what_nobody_can_tell_is_refused(content, ema, reason, weights, tmp_path):
    torch.save(content(*weights), tmp_path / "file.pth")
    with pytest.raises(BadCheckpoint, match=reason):
        load_backbone(TINY, tmp_path / "file.pth", ema)


@pytest.mark.parametrize("value", [Fraction(1, 2), argparse.Namespace(a=Fraction(1, 2)), pathlib.PurePosixPath("a")])
def test_objects_beside_the_weights_are_named_and_not_built(value, weights, tmp_path):
    torch.save({"state_dict": weights[0], "args": value}, tmp_path / "file.pth")
    with pytest.raises(BadCheckpoint, match=r"has code in it \((fractions|pathlib)\..*never run"):
        load_backbone(TINY, tmp_path / "file.pth")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one.to(torch.int32), "another kind, int32"),
        (lambda one: one.to(torch.complex64), "another kind, complex64"),
        (lambda one: one.to_sparse(), "classifier|not supported"),
        (lambda one: one.to("meta"), "classifier|not supported"),
        (lambda one: one[:1, :1].expand(10**9, 10**6), "no classifier"),
        (lambda one: torch.quantize_per_tensor(one, 0.1, 0, torch.qint8), "not supported"),
        (lambda one: one[:0], "no classifier"),
    ],
)
def test_weights_in_other_forms_are_refused_before_they_fill_the_memory(change, reason, weights, tmp_path):
    torch.save({**weights[0], "fc.weight": change(weights[0]["fc.weight"])}, tmp_path / "file.pth")
    with pytest.raises(BadCheckpoint, match=reason):
        load_backbone(TINY, tmp_path / "file.pth")


def test_the_average_is_asked_for_of_a_file():
    with pytest.raises(WrongUse, match="--ema is for a file of --backbone-checkpoint"):
        ModelOptions(ema="yes")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["safetensors", "pth", "timm's train.py"])
@pytest.mark.parametrize("names", [None, "cat", "dog\ncat"])
def test_a_single_class_is_a_sigmoid_where_the_file_says_so(kind, names, tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(TINY, num_classes=1).eval()
    path = tmp_path / ("file.safetensors" if kind == "safetensors" else "file.pth")
    if kind == "safetensors":
        save_file(model.state_dict(), path, {"activation": "sigmoid"})
    else:
        told = {"activation": "sigmoid"} if kind == "pth" else {"args": argparse.Namespace(bce_loss=True)}
        torch.save({"state_dict": model.state_dict(), **told}, path)
    labels = None
    if names:
        labels = tmp_path / "labels.txt"
        labels.write_text(names)
    backbone = load_backbone(TINY, path, label_names=labels)
    assert backbone.labels.names == {None: ("0", "1"), "cat": ("not cat", "cat")}.get(names, ("dog", "cat"))
    images = torch.randn(3, 3, 160, 160)
    with torch.inference_mode():
        probabilities, expected = backbone.model(images).softmax(1), model(images).sigmoid()
    torch.testing.assert_close(probabilities, torch.cat((1 - expected, expected), 1))


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_single_class_without_a_word_is_refused(ending, tmp_path):
    state = timm.create_model(TINY, num_classes=1).state_dict()
    (save_file if ending == ".safetensors" else torch.save)(state, tmp_path / f"file{ending}")
    with pytest.raises(BadCheckpoint, match=r"a single class.*sigmoid"):
        load_backbone(TINY, tmp_path / f"file{ending}")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("tensor", ["fc.bias", "bn1.running_var", "layer2.0.conv1.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_no_weight_and_no_buffer_may_be_no_number(kind, tensor, value, weights, tmp_path):
    name = next(name for name in weights[0] if name.endswith(tensor.rpartition(".")[2]) and "num" not in name)
    name = tensor if tensor in weights[0] else name
    state = {key: one.to(kind) if one.is_floating_point() else one for key, one in weights[0].items()}
    state[name] = state[name].clone()
    state[name].view(-1)[-1] = value
    torch.save({"state_dict": weights[0], "state_dict_ema": state}, tmp_path / "file.pth")
    with pytest.raises(BadCheckpoint, match=f"NaN or infinity in its tensor '{name}'"):
        load_backbone(TINY, tmp_path / "file.pth")
