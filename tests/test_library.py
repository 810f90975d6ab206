"""afd from Python: the command's rows, nothing written unless asked, and keywords that are checked."""

import csv
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import afdcli
from afdcli.cli.app import app
from afdcli.errors import OutputExists, UnreadableImage, WrongUse
from afdcli.options import DegradeOptions, EvaluateOptions
from afdcli.options.fields import fields_of

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
FUNCTIONS = ("classify", "degrade", "evaluate", "load")


@pytest.fixture
def tiny(dedrifted, monkeypatch, tmp_path):
    """Keywords for a classifier that is loaded at once; and an empty folder to be in."""
    network, module = dedrifted
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return {"backbone": "test_resnet", "backbone_checkpoint": network, "weights": str(module), "engine": "torch"}


def command(*arguments):
    """Do what the command line does with these."""
    assert app([*map(str, arguments)], standalone_mode=False) in (0, 1)


def flags(tiny):
    return [part for name, value in tiny.items() for part in (f"--{name.replace('_', '-')}", value)]


def as_text(row):
    """A row as a CSV file has it."""
    texts = {name: "" if value is None else value for name, value in row.items()}
    return {name: str(one).lower() if isinstance(one, bool) else str(one) for name, one in texts.items()}


def read(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_classify_gives_the_commands_rows_typed_and_writes_nothing(photos, tiny):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    rows = list(afdcli.classify(photos, topk=2, **tiny))
    assert not os.listdir()
    assert all(type(row) is dict for row in rows)
    assert {row["status"] for row in rows} == {"ok", "error"}
    good = next(row for row in rows if row["path"] == "a.jpg")
    assert (type(good["prob_1"]), type(good["index_1"]), good["quality_exact"]) == (float, int, True)
    command("classify", photos, "--topk", 2, "--quiet", "--workers", 0, *flags(tiny))
    assert [as_text(row) for row in rows] == read("predictions.csv")


@pytest.mark.slow
def test_classify_takes_several_inputs_and_writes_an_output_that_is_named(photos, tiny):
    rows = list(afdcli.classify([photos / "a.jpg", str(photos / "cats")], output="rows.csv", **tiny))
    assert [Path(row["path"]).name for row in rows] == ["a.jpg", "a.jpg", "d.webp"]
    assert [as_text(row) for row in rows] == read("rows.csv")
    with pytest.raises(OutputExists):
        afdcli.classify(photos, output="rows.csv", **tiny)


@pytest.mark.slow
def test_evaluate_gives_the_commands_rows_and_writes_nothing(photos, tiny):
    Path("accuracy.csv").write_text("mine")  # where the command would write
    rows = afdcli.evaluate(photos, levels="jpeg:30,10", **tiny)
    assert [(row["codec"], row["quality"]) for row in rows] == [("clean", None), ("jpeg", 30), ("jpeg", 10)]
    assert os.listdir() == ["accuracy.csv"]
    command(
        "evaluate", photos, "--jpeg", "30,10", "--output", "by-command.csv", "--quiet", "--workers", 0, *flags(tiny)
    )
    assert [as_text(row) for row in rows] == read("by-command.csv")
    written = afdcli.evaluate(photos, levels="jpeg:30,10", output="rows.csv", **tiny)
    assert written == rows
    assert Path("rows.csv").read_bytes() == Path("by-command.csv").read_bytes()


@pytest.mark.slow
def test_evaluate_takes_a_preset_which_gives_way_to_what_is_given(photos, tiny):
    rows = afdcli.evaluate(photos, preset="photos", levels=["jpeg:40", afdcli.Compression("webp", 20)], **tiny)
    assert [row["codec"] for row in rows] == ["clean", "jpeg", "webp"]
    assert {row["order"] for row in rows} == {"compress-first"}
    assert len(afdcli.evaluate(photos, preset="imagenet-c", **tiny)) == 6
    with pytest.raises(WrongUse, match="imagenet-c"):
        afdcli.evaluate(photos, preset="imagenetc", **tiny)


@pytest.mark.slow
def test_evaluate_warns_of_photos_that_are_in_no_row(photos, tiny):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.warns(UserWarning, match=r"1 of 7 photos .*broken\.jpg"):
        rows = afdcli.evaluate(photos, **tiny)
    assert [row["images"] for row in rows] == [6]


@pytest.mark.parametrize("damage", [{"qf": 10}, {"qf": [10]}, {"levels": "jpeg:10"}])
def test_degrade_yields_the_rows_of_the_manifest(damage, photos, tmp_path):
    rows = list(afdcli.degrade(photos, tmp_path / "copies", **damage))
    assert [as_text(row) for row in rows] == read(tmp_path / "copies" / "jpeg-10.csv")
    assert all((tmp_path / "copies" / row["path"]).stat().st_size == row["bytes"] for row in rows)


def test_degrade_takes_all_kinds_of_damage(photos, tmp_path):
    drawn = afdcli.Degradation(((afdcli.Compression("jpeg", 9),),))
    asked = {"qf": (40, 20), "levels": "webp:30", "qf_sequence": "25,15", "degradations": [drawn], "passes": 2}
    rows = list(afdcli.degrade(str(photos / "a.jpg"), tmp_path / "copies", **asked))
    kinds = [(row["codec"], row["quality"], row["passes"]) for row in rows]
    expected = [("jpeg", 40, 2), ("jpeg", 20, 2), ("webp", 30, 2), ("jpeg 25-15", 15, 2), ("jpeg", 9, 1)]
    assert kinds == expected
    with pytest.raises(WrongUse, match="how to degrade"):
        afdcli.degrade(photos, tmp_path / "others")


@pytest.mark.parametrize(
    ("call", "near"),
    [
        (lambda: afdcli.classify("photos", topkk=1), "topk"),
        (lambda: afdcli.evaluate("photos", pre_set="multi"), "preset"),
        (lambda: afdcli.evaluate("photos", ordre="crop-first"), "order"),
        (lambda: afdcli.degrade("photos", "copies", sizes=3), "size"),
        (lambda: afdcli.load(backbones="resnet50"), "backbone"),
    ],
)
def test_an_unknown_keyword_is_refused_naming_the_nearest(call, near):
    with pytest.raises(WrongUse, match=f"The nearest is '{near}'"):
        call()


@pytest.mark.parametrize("given", [{"resume": True}, {"overwrite": True}])
def test_what_is_about_an_output_needs_one(given, photos):
    with pytest.raises(WrongUse, match="Give output="):
        afdcli.classify(photos, **given)
    with pytest.raises(WrongUse, match="Give output="):
        afdcli.evaluate(photos, compare=True)


@pytest.mark.parametrize(
    ("function", "options"),
    [("classify", afdcli.ClassifyOptions), ("evaluate", EvaluateOptions), ("degrade", DegradeOptions)],
)
def test_help_lists_every_option_with_its_default_and_its_sentence(function, options):
    function = getattr(afdcli, function)
    parameters = inspect.signature(function).parameters
    assert all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    for field in fields_of(options):
        assert field.name in parameters
        assert field.required or field.name in function.__doc__
    assert parameters["workers"].default == 0  # so that a script needs no guard
    assert parameters["batch_size"].default == 16 if "batch_size" in parameters else function is afdcli.degrade


@pytest.mark.slow
def test_the_model_sees_alike_what_is_given_as_a_path_an_image_or_an_array(photos, tiny):
    model = afdcli.load(**tiny)
    path = photos / "b.png"
    result = model(path)
    row = next(row for row in afdcli.classify(photos, **tiny) if row["path"] == "b.png")
    assert (result.label, result.indices) == (row["label_1"], tuple(row[f"index_{rank}"] for rank in range(1, 6)))
    assert result.probabilities == pytest.approx([row[f"prob_{rank}"] for rank in range(1, 6)], abs=1e-4)
    assert result.drift == pytest.approx(row["drift"], abs=1e-4)
    assert (result.label, result.probability) == (result.labels[0], result.probabilities[0])
    with Image.open(path) as image:
        for other in (str(path), image, np.asarray(image.convert("RGB"))):
            assert model(other) == result


@pytest.mark.slow
def test_the_model_takes_a_list_in_batches(photos, tiny):
    model = afdcli.load(batch_size=2, **tiny)
    paths = [photos / "a.jpg", photos / "b.png", photos / "cats/a.jpg"]
    together = model(paths, topk=100)
    assert [len(one.labels) for one in together] == [8, 8, 8]  # all there are
    for path, one in zip(paths, together, strict=True):
        assert one.probabilities == pytest.approx(model(path, topk=8).probabilities, abs=1e-5)
        assert sum(one.probabilities) == pytest.approx(1, abs=1e-5)
    assert model([]) == []


def test_the_model_knows_the_quality_of_a_jpeg(photo, tmp_path, tiny):
    photo.save(tmp_path / "q12.jpg", quality=12)
    model, seen = afdcli.load(**tiny), []
    predict = model.classifier.predict_topk
    model.classifier.predict_topk = lambda pixels, k, quality: (seen.append(quality), predict(pixels, k, quality))[1]
    with Image.open(tmp_path / "q12.jpg") as image:
        model([tmp_path / "q12.jpg", image, photo])
    np.testing.assert_array_equal(seen[0], np.array([12, 12, np.nan], np.float32))


def test_the_model_turns_an_opened_image_upright_and_takes_any_mode(photo, tmp_path, tiny):
    model = afdcli.load(**tiny)
    sideways = Image.Exif()
    sideways[0x0112] = 6
    photo.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "sideways.png", exif=sideways)
    with Image.open(tmp_path / "sideways.png") as image:
        assert model(image) == model(photo)
    assert model(photo.convert("RGBA")) == model(photo)
    assert model(photo.convert("L")) == model(photo.convert("L").convert("RGB"))


def test_the_model_refuses_what_is_no_picture_in_a_sentence(tmp_path, tiny):
    model = afdcli.load(**tiny)
    (tmp_path / "broken.png").write_bytes(b"no image")
    for bad in (tmp_path / "missing.jpg", tmp_path / "broken.png"):
        with pytest.raises(UnreadableImage, match=bad.name):
            model(bad)
    with pytest.raises(UnreadableImage, match="floating-point"):
        model(Image.new("F", (8, 8)))
    for bad in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((2, 4, 4, 3), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(WrongUse, match="An array must be"):
            model(bad)
    with pytest.raises(WrongUse, match="not int"):
        model(7)
    with pytest.raises(WrongUse, match="topk"):
        model(Image.new("RGB", (8, 8)), topk=0)


@pytest.mark.slow
def test_a_script_needs_no_guard(photos, tiny):
    Path("script.py").write_text(
        "import multiprocessing\n"
        "multiprocessing.set_start_method('spawn')\n"
        "import afdcli\n"
        f"rows = list(afdcli.classify({str(photos)!r}, backbone='test_resnet', backbone_checkpoint="
        f"{str(tiny['backbone_checkpoint'])!r}, engine='torch'))\n"
        f"copies = list(afdcli.degrade({str(photos)!r}, 'copies', qf=10))\n"
        "print(len(rows), len(copies))\n"
    )
    run = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert run.stdout == "6 6\n", run.stderr


def test_all_public_names_are_there_and_shown():
    for name in afdcli.__all__:
        assert getattr(afdcli, name) is not None
    assert set(afdcli.__all__) <= set(dir(afdcli))
    assert all(inspect.isfunction(getattr(afdcli, name)) for name in FUNCTIONS)


def test_importing_afd_and_its_functions_is_light():
    code = "import sys, afdcli; afdcli.classify, afdcli.load; print({'torch', 'numpy', 'PIL', 'timm'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
