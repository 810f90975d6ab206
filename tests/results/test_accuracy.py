"""What was measured, as rows and as a table."""

import numpy as np
import pytest

from afdcli.options import IMAGENET_C
from afdcli.photos.damage import Level
from afdcli.results.accuracy import COLUMNS, Measured, markdown, recovered_overall, rows

ROW = {
    "backbone": "net", "weights": "none", "codec": "clean", "quality": None, "passes": 0, "order": "crop-first",
    "images": 500, "top1": 90.0, "top1_low": 87.0, "top1_high": 92.5, "top5": 99.0, "difference": None,
    "p_value": None, "recovered": None, "agreement": 100.0, "bytes_per_pixel": 0.5, "parameters": 0, "macs": 0,
}  # fmt: skip
ROWS = [
    ROW,
    {**ROW, "codec": "jpeg", "quality": 10, "passes": 1, "top1": 60.0, "agreement": 61.0},
    {**ROW, "weights": "m", "difference": 0.0, "p_value": 1.0, "parameters": 1234, "macs": 5678},
    {**ROW, "weights": "m", "codec": "jpeg", "quality": 10, "passes": 1, "top1": 75.0, "p_value": 0.01},
]


def test_the_table_for_a_paper_has_means_shares_and_costs():
    assert markdown(ROWS, {"none": 5.0, "m": 6.25}).splitlines() == [
        "net, 500 photos, crop-first.",
        "",
        "| top-1, % | none | m |",
        "| --- | --- | --- |",
        "| undamaged | 90.0 (87.0 - 92.5) | 90.0 (87.0 - 92.5) |",
        r"| JPEG 10 | 60.0 (87.0 - 92.5) | 75.0\* (87.0 - 92.5) |",
        "| mean of the damaged | 60.0 | 75.0 |",
        "| recovered |  | 50.0 % |",
        "| parameters added | 0 | 1,234 |",
        "| multiply-adds added | 0 | 5,678 |",
        "| milliseconds an image | 5.0 | 6.2 |",
    ]


def test_the_share_recovered_has_its_interval_in_the_table():
    table = markdown(ROWS, {"none": 5.0, "m": 6.25}, {"m": (47.91, 54.4)})
    assert "| recovered |  | 50.0 % (47.9 - 54.4) |" in table.splitlines()


LEVELS = [Level("clean", None, 0, "crop-first"), *(Level("jpeg", one.quality, 1, "crop-first") for one in IMAGENET_C)]


def measured(weights, right, sure=0.75):
    """Class 0 is said of photos (photos, levels) that are `right`, and class 1 of others."""
    said = np.where(right, 0, 1)
    probabilities = np.stack([np.full(right.shape, sure), np.where(right, sure, 1 - sure)], 2)
    return Measured(weights, np.stack([said, said + 2], 2), probabilities, 0, 0)


def test_rows_have_the_columns_in_order_and_what_needs_no_labels_without_them():
    rng = np.random.default_rng(0)
    right = rng.random((40, 6)) < 0.5
    sizes = np.ones((6, 2))
    found = rows("net", LEVELS, sizes, None, [measured("none", right), measured("m", right)])
    assert [list(row) for row in found] == [list(COLUMNS)] * 12
    unlabelled = {name for name, value in found[7].items() if value is None}
    assert unlabelled == {
        *("top1", "top1_low", "top1_high", "top5", "difference", "p_value"),
        *("recovered", "recovered_low", "recovered_high", "nll", "ece", "ce"),
    }


def test_rows_say_how_sure_and_how_far_above_alexnet():
    right = np.ones((40, 6), bool)
    right[:10, 1] = False  # 25 % wrong at JPEG 25
    (clean, damaged, *_) = rows("net", LEVELS, np.ones((6, 2)), np.zeros(40, int), [measured("none", right)])
    assert damaged["ce"] == pytest.approx(100 * 25 / 60.65, abs=0.005)
    assert damaged["ece"] == pytest.approx(0, abs=0.005)
    assert clean["ece"] == pytest.approx(25, abs=0.005)
    assert damaged["nll"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=1e-4)
    assert clean["ce"] is None and clean["recovered_low"] is None


def test_other_damage_than_imagenet_cs_has_no_corruption_error():
    right = np.zeros((4, 4), bool)
    levels = [
        LEVELS[0],
        Level("jpeg", 25, 1, "compress-first"),
        Level("jpeg", 25, 2, "crop-first"),
        Level("webp", 25, 1, "crop-first"),
    ]
    found = rows("net", levels, np.ones((4, 2)), np.zeros(4, int), [measured("none", right)])
    assert [row["ce"] for row in found] == [None] * 4


def test_what_is_recovered_lies_in_its_interval_at_each_level_and_over_all():
    rng = np.random.default_rng(0)
    first = rng.random((300, 6)) < 0.5
    first[:, 0] = rng.random(300) < 0.9
    right = first | (rng.random((300, 6)) < 0.3)
    both, labels = [measured("none", first), measured("m", right)], np.zeros(300, int)
    found = rows("net", LEVELS, np.ones((6, 2)), labels, both)
    assert all(row["recovered_low"] is None for row in found[:7])
    assert all(row["recovered_low"] < row["recovered"] < row["recovered_high"] for row in found[7:])
    overall = recovered_overall(both, labels)
    assert list(overall) == ["m"]
    share = float(markdown(found, {"none": 1.0, "m": 1.0}).split("| recovered |  | ")[1].split(" %")[0])
    assert overall["m"][0] < share < overall["m"][1]
    assert recovered_overall(both, None) == {}


def test_names_in_the_table_are_told_apart_and_break_no_column():
    renamed = {"none": "a/x|$y_.safetensors", "m": "b/x|$y_.safetensors"}
    rows = [{**row, "weights": renamed[row["weights"]]} for row in ROWS]
    head = markdown(rows, dict.fromkeys(renamed.values(), 1.0)).splitlines()[2]
    assert head == r"| top-1, % | a/x\|\$y\_ | b/x\|\$y\_ |"
