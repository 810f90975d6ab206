"""Options objects: brought into their types, checked, built of flat names, and told to a result's JSON."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from annotated_doc import Doc
from hypothesis import given
from hypothesis import strategies as st

from afdcli import options as everything
from afdcli.errors import WrongUse
from afdcli.options import (
    ClassifyOptions,
    Compression,
    DegradeOptions,
    EvaluateOptions,
    ExportOptions,
    ModelOptions,
    Options,
    ReadOptions,
    TrainOptions,
    build,
)
from afdcli.options.fields import fields_of, flat, settings_of
from afdcli.options.rules import AtLeast, Commas, SameRows

COMMANDS = [
    kind
    for name, kind in vars(everything).items()
    if name.endswith("Options") and name not in ("Options", "ReadOptions", "ModelOptions")
]
FIELDS = [pytest.param(one, id=f"{kind.__name__}.{one.name}") for kind in COMMANDS for one in fields_of(kind)]


@dataclass(frozen=True)
class Brush(Options, panel="Brush"):
    """A group."""

    width: Annotated[int, AtLeast(1), Doc("How wide the line is.")] = 3


@dataclass(frozen=True)
class PaintOptions(Options):
    """Paint."""

    wall: Annotated[Path, Doc("What is painted.")]
    colours: Annotated[tuple[str, ...], Commas(), Doc("The colours, one after the other.")] = ("red",)
    height: Annotated[float | None, Doc("Up to where the paint goes, in metres.")] = None
    hurry: Annotated[bool, SameRows(), Doc("Paint fast.")] = False
    brush: Brush = field(default=Brush(5))


@pytest.mark.parametrize("one", FIELDS)
def test_every_field_has_a_sentence_that_stands_alone(one):
    assert one.sentence[0].isupper() and one.sentence.endswith(".")
    assert len(one.sentence.split()) >= 5 or one.name == "shift"
    assert "[" not in one.sentence, "rich would take it for markup"


@pytest.mark.parametrize("kind", COMMANDS)
def test_names_are_unique_within_a_command(kind):
    names = [one.name for one in fields_of(kind)]
    flags = [flag for one in fields_of(kind) if not one.unused for flag in one.names]
    assert len(set(names)) == len(names)
    assert len(set(flags)) == len(flags)


def test_what_is_given_as_text_gets_the_type_of_its_field():
    made = build(PaintOptions, {"wall": "north", "colours": "red, blue ,green", "height": "2.5", "width": "7"})
    assert made == PaintOptions(Path("north"), ("red", "blue", "green"), 2.5, brush=Brush(7))
    assert isinstance(made.height, float)


def test_a_list_becomes_a_tuple_and_one_value_is_a_list_of_one():
    assert EvaluateOptions("a", passes=[1, 2]).passes == (1, 2)
    assert ClassifyOptions("photos").inputs == ClassifyOptions([Path("photos")]).inputs == ("photos",)


def test_a_group_that_is_not_given_keeps_the_default_of_its_command():
    assert build(PaintOptions, {"wall": "a"}).brush == Brush(5)
    assert build(
        DegradeOptions, {"source": "a", "destination": "b", "degradations": "jpeg:10", "exif": "ignore"}
    ).read == (ReadOptions(exif="ignore", icc="apply"))
    assert build(ExportOptions, {"output": "a.onnx", "photos": ["b"], "backbone": "resnet18"}).model.device == "cpu"


def test_a_whole_group_may_be_given_and_a_field_of_it_goes_before_it():
    made = build(ClassifyOptions, {"inputs": "a", "model": ModelOptions(batch_size=2), "engine": "torch"})
    assert made.model == ModelOptions(batch_size=2, engine="torch")


def test_what_was_given_goes_before_the_preset_and_that_before_the_default():
    preset = {"topk": 2, "exif": "ignore"}
    made = build(ClassifyOptions, preset | {"inputs": "a", "topk": 3})
    assert (made.topk, made.read.exif, made.read.icc) == (3, "ignore", "ignore")


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(WrongUse, match=r"^There is no option 'batchsize'\. The nearest is 'batch_size'\.$"):
        build(ClassifyOptions, {"inputs": "a", "batchsize": 3})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ClassifyOptions("a", topk="many"), "--topk must be a whole number, not 'many'."),
        (lambda: ClassifyOptions("a", topk=2.5), "--topk must be a whole number, not '2.5'."),
        (lambda: ClassifyOptions("a", topk=True), "--topk must be a whole number, not 'True'."),
        (lambda: TrainOptions("a", learning_rate="nan"), "--learning-rate must be a number, not 'nan'."),
        (lambda: TrainOptions("a", stage_weight=float("inf")), "--stage-weight must be a number, not 'inf'."),
        (lambda: ClassifyOptions("a", resume="yes"), "--resume is either given or not"),
        (lambda: ClassifyOptions("a", output=None), "--output must be text, not 'None'."),
        (lambda: ClassifyOptions([3]), "PATH must be text, not '3'."),
        (lambda: EvaluateOptions("a", passes="1,,2"), "--passes takes values with commas between them, not '1,,2'."),
    ],
)
def test_another_type_is_refused_in_a_sentence(make, sentence):
    with pytest.raises(WrongUse) as refusal:
        make()
    assert str(refusal.value).startswith(sentence)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.slow
@given(st.sampled_from([one for kind in COMMANDS for one in fields_of(kind)]), ANYTHING)
def test_any_value_is_taken_or_refused_in_a_sentence(one, value):
    try:
        one.checked(value)
    except WrongUse as refusal:
        assert str(refusal).endswith(".")


def test_flat_has_every_field_by_its_own_name():
    told = flat(PaintOptions("a"))
    assert told == {"wall": Path("a"), "colours": ("red",), "height": None, "hurry": False, "width": 5}


def test_settings_leave_out_what_does_not_decide_the_rows():
    assert settings_of(PaintOptions("a", hurry=True)) == settings_of(PaintOptions("a"))
    assert "hurry" not in settings_of(PaintOptions("a"))
    assert settings_of(PaintOptions("a"))["brush"] == {"width": 5}


TRAINING = (
    "photos labels method weights tap width growth depth stride hidden pooled rank steps learning_rate feature_weight"
    " stage_weight logit_weight pixel_weight quality_weight clean_share crop_first_share validate_every seed model read"
    " estimator drift_weight shares least_crop narrow"
)


def test_what_resuming_a_training_compares_has_the_names_of_all_that_decides():
    assert set(settings_of(TrainOptions("a"))) == set(TRAINING.split())


def test_making_options_again_of_themselves_changes_nothing():
    made = EvaluateOptions("a", levels=("webp:50,20", Compression("jpeg", 10)), weights="none, auto")
    assert EvaluateOptions(**{name: getattr(made, name) for name in made.__dataclass_fields__}) == made
