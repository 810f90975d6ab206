"""The smallest files that lose at most so much, by a classifier whose loss is known at every quality."""

import csv
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from afdcli.commands import evaluate, lose
from afdcli.commands.lose import ROUNDS, Search, degrade_command
from afdcli.errors import OutputExists, WrongUse
from afdcli.options import EvaluateOptions
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing
from afdcli.results.smallest import COLUMNS

PHOTOS = 40


class Known:
    """Says class 0 of every photo, and class 1 of those whose own quality is above that of the file.

    Photos are told apart by their order: of each, the undamaged one comes first, and is no JPEG.
    """

    def __init__(self, breaks_below, gain=0):
        self.breaks_below, self.gain, self.seen, self.levels = breaks_below, gain, 0, set()
        labels = Labels(tuple(f"class {number}" for number in range(3)))
        self.about = SimpleNamespace(
            preprocessing=Preprocessing(16, 1.0), labels=labels, backbone="known", backbone_sha256="", weights_sha256=""
        )

    def predict_topk(self, pixels, k, qualities):
        photo = np.cumsum(np.isnan(qualities)) - 1 + self.seen
        self.seen += int(np.isnan(qualities).sum())
        self.levels |= {int(one) for one in qualities[~np.isnan(qualities)]}
        broken = np.nan_to_num(qualities, nan=101) + self.gain < np.array(self.breaks_below)[photo % PHOTOS]
        index = np.stack([broken, ~broken, np.full(len(broken), 2)], 1).astype(int)
        return index[:, :k], np.full((len(pixels), min(k, 3)), 0.3, np.float32), None


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "0"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    return folder.parent


def breaking_at(qualities):
    """One photo breaks below each of `qualities`; the others never do."""
    return [*qualities, *[0] * (PHOTOS - len(qualities))]


def searched(monkeypatch, options, **classifiers):
    for module in (lose, evaluate):
        monkeypatch.setattr(module, "load_all", lambda _: classifiers)
    search = Search(options, writes=False)
    assert not [photo.error for photo in search.photos() if photo.error]
    return search.rows()


def asked(dataset, share, **others):
    return EvaluateOptions(dataset, lose=share, codecs="jpeg", workers=0, weights=("none",), **others)


@pytest.mark.slow
@pytest.mark.parametrize("quality", [1, 2, 37, 50, 51, 89, 99, 100])
def test_the_right_quality_is_found_in_at_most_8_levels(monkeypatch, dataset, quality):
    """Two photos of 40 break just below it: 5 points, where less than 5 is asked for."""
    known = Known(breaking_at([quality, quality]))
    (row,) = searched(monkeypatch, asked(dataset, 5, sure="no"), none=known)
    assert (row["quality"], row["loss"], row["measure"]) == (quality, 0, "top1")
    assert row["levels"] <= ROUNDS <= 8 and len(known.levels) <= 8
    assert list(row) == list(COLUMNS)


@pytest.mark.slow
def test_files_are_compared_with_the_photos_and_with_jpeg_90(monkeypatch, dataset):
    (row,) = searched(monkeypatch, asked(dataset, 5, sure="no"), none=Known(breaking_at([90, 90])))
    before = sum(path.stat().st_size for path in dataset.rglob("*.png")) / PHOTOS / 1000
    assert row["saved"] == pytest.approx(100 * (1 - row["kilobytes"] / before), abs=0.05)
    assert row["saved_jpeg90"] == 0 and row["images"] == PHOTOS


@pytest.mark.slow
def test_each_of_the_weights_is_searched_for_on_the_same_files(monkeypatch, dataset):
    breaks = breaking_at([60, 60])
    options = replace(asked(dataset, 5, sure="no"), weights=("none", "auto"))
    rows = searched(monkeypatch, options, none=Known(breaks), auto=Known(breaks, gain=20))
    assert [(row["weights"], row["quality"]) for row in rows] == [("none", 60), ("auto", 40)]
    assert rows[1]["kilobytes"] < rows[0]["kilobytes"]
    told = degrade_command(rows, options)
    assert told == f"afd degrade {dataset} copies --level jpeg:60 --level jpeg:40 --icc ignore"


@pytest.mark.slow
def test_photos_that_are_too_few_say_how_many_would_do(monkeypatch, dataset):
    (row,) = searched(monkeypatch, asked(dataset, 1.0), none=Known(breaking_at([])))
    assert row["quality"] is row["kilobytes"] is row["saved"] is None
    assert row["loss"] == 0 and row["limit"] > 1
    assert 200 < row["photos_needed"] < 1000
    assert degrade_command([row], asked(dataset, 1.0)) == ""


@pytest.mark.slow
def test_where_the_best_quality_loses_more_no_number_of_photos_helps(monkeypatch, dataset):
    (row,) = searched(monkeypatch, asked(dataset, 5, sure="no"), none=Known(breaking_at([101] * 4)))
    assert (row["quality"], row["loss"], row["photos_needed"]) == (None, 10, None)


@pytest.mark.slow
def test_being_sure_takes_a_better_quality(monkeypatch, dataset):
    breaks = breaking_at([80, 70, 60, 50, 40, 30, 20, 10])
    (sure,) = searched(monkeypatch, asked(dataset, 15), none=Known(breaks))
    (guess,) = searched(monkeypatch, asked(dataset, 15, sure="no"), none=Known(breaks))
    assert sure["quality"] > guess["quality"] == 30
    assert sure["limit"] < 15 < guess["limit"]
    assert sure["loss_low"] <= sure["loss"] <= sure["loss_high"]


@pytest.mark.slow
def test_without_labels_it_is_agreement_that_is_lost(monkeypatch, dataset):
    options = asked(dataset / "0", 5, sure="no")
    (row,) = searched(monkeypatch, options, none=Known(breaking_at([44, 44])))
    assert (row["measure"], row["quality"]) == ("agreement", 44)


@pytest.mark.slow
def test_rows_are_written_with_a_record_and_not_replaced(monkeypatch, dataset, tmp_path):
    monkeypatch.setattr(lose, "load_all", lambda _: {"none": Known(breaking_at([60, 60]))})
    options = asked(dataset, 5, sure="no", output=tmp_path / "smallest.csv")
    search = Search(options)
    list(search.photos())
    search.write()
    with options.output.open(newline="") as file:
        assert [row["quality"] for row in csv.DictReader(file)] == ["60"]
    with pytest.raises(OutputExists):
        Search(options)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"levels": "jpeg:10"}, "--lose finds the levels itself"),
        ({"degraded": "copies"}, "--lose finds the levels itself"),
        ({"compare": True}, "does not go with --compare"),
        ({"per_photo": "rows.csv"}, "does not go with --per-photo"),
        ({"passes": (1, 2)}, "does not go with --passes"),
        ({"lose": 0}, "--lose must be more than 0"),
        ({"sure": "maybe"}, "--sure must be one of yes, no"),
    ],
)
def test_what_does_not_go_together_is_refused(others, said):
    with pytest.raises(WrongUse, match=said):
        EvaluateOptions("photos", **{"lose": 1.0, **others})


def test_all_installed_codecs_are_looked_into_unless_told():
    assert EvaluateOptions("photos", lose=1.0).order == "compress-first"
    assert {"jpeg", "webp"} <= set(EvaluateOptions("photos", lose=1.0).searched)
    assert EvaluateOptions("photos", lose=1.0, codecs="avif").searched == ("avif",)
    assert math.isclose(EvaluateOptions("photos", lose="0.5").lose, 0.5)
