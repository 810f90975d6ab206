"""What must not change from one version to the next: rows, copies, files that an earlier version left.

The files in `kept/` were written by version 0.1.0, before the package had its rooms. They are never made anew.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from afdcli import Classification, ClassifyOptions, Degradation, DegradeOptions, Degrading, EvaluateOptions, Evaluation
from afdcli.formats import codecs
from afdcli.models.checkpoint import load_checkpoint
from afdcli.models.classifier import load_classifier
from afdcli.options import IMAGENET_C, Compression, ModelOptions

KEPT = Path(__file__).with_name("kept")
PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
ROUNDED = 2e-4
"""Probabilities have four digits, and another processor's arithmetic may round the last one otherwise."""

pytestmark = pytest.mark.slow


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def assert_same_rows(path, kept):
    """The same columns in the same order, texts to the letter, numbers up to rounding."""
    assert path.read_text("utf-8").splitlines()[0] == kept.read_text("utf-8").splitlines()[0]
    found, expected = rows_of(path), rows_of(kept)
    assert len(found) == len(expected)
    for row, before in zip(found, expected, strict=True):
        assert {name: text for name, text in row.items() if not name.startswith("prob_")} == {
            name: text for name, text in before.items() if not name.startswith("prob_")
        }
        probabilities = [float(row[name]) for name in row if name.startswith("prob_")]
        before = [float(before[name]) for name in before if name.startswith("prob_")]
        assert probabilities == pytest.approx(before, abs=ROUNDED)


def test_the_rows_of_the_example_photos(tmp_path):
    list(Classification(ClassifyOptions((str(PHOTOS),), tmp_path / "rows.csv", weights="none")).rows())
    assert_same_rows(tmp_path / "rows.csv", KEPT / "classify.csv")


def test_what_evaluation_measures_on_them(tmp_path):
    """Columns that are newer come after those of before."""
    run = Evaluation(EvaluateOptions(PHOTOS, output=tmp_path / "accuracy.csv", levels=IMAGENET_C, weights=("none",)))
    list(run.photos())
    run.write()
    found, kept = (
        (folder / name).read_text("utf-8").splitlines()
        for folder, name in ((tmp_path, "accuracy.csv"), (KEPT, "evaluate.csv"))
    )
    assert len(found) == len(kept)
    assert all(line.startswith(f"{before},") for line, before in zip(found, kept, strict=True))


def test_the_copies_made_of_them(tmp_path):
    encoder = "libjpeg-turbo 3.2.0"
    if codecs.versions()["jpeg"] != encoder:
        pytest.skip(f"The copies that are kept were made with {encoder}, and other encoders make other bytes.")
    once, twice = ((Compression("jpeg", 10),),), ((Compression("jpeg", 25),), (Compression("jpeg", 10),))
    list(Degrading(DegradeOptions(PHOTOS, tmp_path, (Degradation(once), Degradation(twice)))).copies())
    assert_same_rows(tmp_path / "jpeg-10.csv", KEPT / "jpeg-10.csv")
    # What went through two qualities says so since: before, it could not be told from what was saved once.
    sequence = tmp_path / "jpeg-25-10.csv"
    sequence.write_text(sequence.read_text("utf-8").replace("jpeg 25-10", "jpeg"), encoding="utf-8")
    assert_same_rows(sequence, KEPT / "jpeg-25-10.csv")


def test_an_interrupted_run_of_before_goes_on(tmp_path):
    output = tmp_path / "rows.csv"
    shutil.copy(KEPT / "interrupted.csv", output)
    shutil.copy(KEPT / "interrupted.csv.json", tmp_path / "rows.csv.json")
    engine = json.loads((KEPT / "interrupted.csv.json").read_text())["settings"]["engine"]
    pytest.importorskip(engine)
    list(Classification(ClassifyOptions((str(PHOTOS),), output, weights="none", resume=True)).rows())
    assert_same_rows(output, KEPT / "classify.csv")


@pytest.mark.parametrize("name", ["module", "folded"])
@torch.inference_mode()
def test_a_module_of_before_computes_what_it_did(name):
    module = load_checkpoint(KEPT / f"{name}.safetensors").module
    with np.load(KEPT / "module.npz") as file:
        kept = {key: torch.from_numpy(file[key]) for key in file}
    mended, drift = module.mend(kept["features"], kept["images"])
    torch.testing.assert_close(drift, kept["drift"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mended, kept["mended"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(module.correct(drift, 1, kept["later"]), kept["corrected"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["shipped", "stem"])
def test_a_classifier_with_a_module_of_before_gives_the_same_probabilities(name):
    """Of the time when classifiers were taken apart, and a module knew the layers between the blocks as well."""
    weights = "auto" if name == "shipped" else str(KEPT / "stem.safetensors")
    classifier = load_classifier(ModelOptions(device="cpu"), weights)
    squares = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 3), dtype=np.uint8)
    index, probability, drift = classifier.predict_topk(squares.repeat(32, 1).repeat(32, 2), 1000)
    with np.load(KEPT / "probabilities.npz") as kept:
        np.testing.assert_allclose(probability, np.take_along_axis(kept[name], index, 1), atol=1e-5)
        np.testing.assert_allclose(drift, kept[f"{name}_drift"], rtol=1e-5)
