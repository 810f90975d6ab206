"""The page of a comparison: what is in it, as its script gets it."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from webpages import HOSTILE, Elements, outcomes

from afdcli.options import ReadOptions
from afdcli.results import accuracy_page
from afdcli.results.accuracy_page import Pictures, page

NONE = Pictures(lambda names: {}, ReadOptions(), 0)


def made(*measured, title="accuracy", pictures=NONE):
    return page(title, [row for one in measured for row in one.rows()], measured, pictures)


def flipping(photos, classes=1, **others):
    """Photos of some classes in turn, all of which flip."""
    labels = np.arange(photos) % classes
    seen = np.repeat(labels[:, None, None], 3, 2).repeat(2, 1)
    seen[:, 0, 1:] = classes
    return outcomes(seen, labels, **others)


def test_its_figures_are_those_of_the_rows():
    measured = outcomes([[[1, 1, 2], [1, 1, 1]], [[2, 1, 2], [2, 2, 1]]], [1, 2])
    (run,) = Elements(made(measured)).data["runs"]
    assert run["weights"] == ["without a module", "with the module"]
    assert [one["name"] for one in run["levels"]] == ["undamaged", "JPEG 20", "JPEG 10"]
    for row, shown in zip(measured.rows(), run["rows"], strict=True):
        assert {name: row[name] for name in shown if name != "weights"} == {
            name: value for name, value in shown.items() if name != "weights"
        }
        assert shown["top1"] == row["top1"] and run["labelled"]
    assert [row["weights"] for row in run["rows"]] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_labels_are_text_wherever_they_stand(name):
    weights, hostile = ("none", f"{name}.safetensors"), {0: name, 1: f"other {name}"}
    plain = Elements(made(flipping(1, weights=("none", "mine.safetensors"))))
    found = Elements(made(flipping(1, weights=weights, names=hostile, paths=[name]), title=name))
    assert found.names == plain.names and found.attributes == plain.attributes
    (run,) = found.data["runs"]
    (hit,) = run["classes"]
    assert hit["label"] == name and hit["photos"][0]["name"] == name
    assert hit["photos"][0]["seen"][0][:2] == [name, f"other {name}"]


def test_names_that_are_no_text_are_shown_all_the_same():
    text = made(flipping(1, weights=("none", "\udce9.safetensors"), names={0: "\ud800", 1: "b"}), title="\udce9")
    assert Elements(text.encode("utf-8").decode()).data["runs"][0]["classes"][0]["count"] == 1


def test_its_policy_allows_its_own_parts_and_pictures_inside_it_alone():
    text = made(flipping(1))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'; img-src data:;" in policy
    assert not re.search(r"http|unsafe|\*|self|file:", policy)
    assert not re.search(r"(src|href)=", text.partition("<script>")[0])


@pytest.mark.parametrize("backbones", [1, 3])
def test_only_so_many_photos_are_shown_and_the_rest_is_counted(monkeypatch, backbones):
    monkeypatch.setattr(accuracy_page, "WITH_PHOTOS", 6)
    monkeypatch.setattr(accuracy_page, "PHOTOS", 3)
    monkeypatch.setattr(accuracy_page, "LISTED", 8)
    runs = Elements(made(*[flipping(50, 10)] * backbones)).data["runs"]
    for run in runs:
        assert len(run["classes"]) == 8 and run["more"] == 2
        assert [len(one["photos"]) for one in run["classes"]] == [3] * (6 // backbones) + [0] * (8 - 6 // backbones)
        assert {(one["flips"], one["lost"], *one["won"]) for one in run["classes"]} == {(5, 5, 0, 5)}


def test_each_photo_has_its_picture_while_it_is_the_one_that_was_measured(tmp_path, photo):
    paths = {name: str(tmp_path / name) for name in ("same.jpg", "other.jpg", "broken.jpg", "gone.jpg")}
    for name in ("same.jpg", "other.jpg"):
        photo.save(paths[name])
    size = (tmp_path / "same.jpg").stat().st_size
    (tmp_path / "broken.jpg").write_bytes(b"\0" * size)
    (tmp_path / "other.jpg").write_bytes((tmp_path / "same.jpg").read_bytes() + b"\0")
    measured = flipping(5, paths=[*paths, "unknown.jpg"])
    measured.array("sizes")[:, 0, 0] = size
    asked = []

    def find(names):
        asked.append(set(names))
        return {name: path for name, path in paths.items() if name in names}

    data = Elements(made(measured, pictures=Pictures(find, ReadOptions(), 0))).data
    assert asked == [{*paths, "unknown.jpg"}] and list(data["pictures"]) == ["same.jpg"]
    kind, _, picture = data["pictures"]["same.jpg"].partition(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(picture))) as small:
        assert small.format == "WEBP" and small.size == (160, 120)


def test_without_damage_there_are_no_classes_and_no_photo_is_looked_for():
    def find(names):
        raise AssertionError(names)

    text = made(
        outcomes([[[1]], [[2]]], [1, 2], weights=("none",), qualities=()), pictures=Pictures(find, NONE.read, 0)
    )
    assert Elements(text).data["runs"][0]["classes"] == []


@pytest.mark.slow
def test_the_page_of_1000_photos_at_25_levels_is_small(tmp_path):
    """But for pictures, of which there are at most 240: at 8 kB each, they are 2.6 MB more."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 100, 1000)
    seen = np.where(rng.random((1000, 2, 26)) < 0.5, labels[:, None, None], rng.integers(0, 100, (1000, 2, 26)))
    seen[:, :, 0] = labels[:, None]
    names = {index: f"class {index}, of which there are many" for index in range(100)}
    text = made(outcomes(seen, labels, qualities=range(25, 0, -1), names=names))
    assert len(text) < 1_000_000
    assert len(json.loads(Elements(text).scripts[0])["runs"][0]["classes"]) == 100
