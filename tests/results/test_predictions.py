"""A prediction as a row: the columns that were announced, and no others."""

import pytest

from afdcli.photos.samples import Sample
from afdcli.photos.sources import Source
from afdcli.results.predictions import Prediction, columns

READ = Sample(Source("/p/a.jpg", "a.jpg"), "", "JPEG", 640, 480, 90, True)
CLASSES = (("cat", 3, 0.9), ("dog", 5, 0.05))


def test_columns_are_in_their_order_and_the_last_ones_are_the_classes():
    plain = ["path", "status", "error", "format", "width", "height", "quality", "quality_exact"]
    classes = ["label_1", "index_1", "prob_1", "label_2", "index_2", "prob_2"]
    assert list(columns(2, uses_quality=False, estimates_drift=False)) == [*plain, *classes]
    assert list(columns(2, uses_quality=True, estimates_drift=True)) == [*plain, "quality_source", "drift", *classes]


@pytest.mark.parametrize("told", [True, False])
def test_a_row_has_a_value_for_each_column_with_its_type(told):
    announced = columns(2, uses_quality=told, estimates_drift=told)
    row = Prediction(READ, CLASSES, 0.5).row(announced)
    assert list(row) == list(announced)
    assert all(value is None or type(value) is announced[name] for name, value in row.items())
    assert (row["label_2"], row["index_2"], row["prob_2"]) == CLASSES[1]
    assert row.get("quality_source", "tables") == "tables"


def test_what_could_not_be_read_has_a_reason_and_nothing_else():
    row = Prediction(Sample(Source("/p/\udcff.jpg", "\udcff.jpg"), "empty")).row(
        columns(1, uses_quality=True, estimates_drift=True)
    )
    assert {name: value for name, value in row.items() if value is not None} == {
        "path": r"\xff.jpg",
        "status": "error",
        "error": "empty",
    }
