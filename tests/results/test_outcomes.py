"""`afd evaluate --resume`, `--per-photo` and `--from`: the same figures, whichever way the rows came."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from webpages import Elements

from afdcli.commands import evaluate as command
from afdcli.commands.classify import Classification
from afdcli.commands.evaluate import Evaluation, from_outcomes
from afdcli.errors import OutputRefused, WrongUse
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import Checkpoint, save_checkpoint
from afdcli.models.classifier import load_classifier
from afdcli.options import ClassifyOptions, Compression, EvaluateOptions, ModelOptions, ReadOptions
from afdcli.photos.damage import Case, Damaged, Level
from afdcli.photos.sources import Source
from afdcli.results.accuracy import COLUMNS as ACCURACY
from afdcli.results.outcomes import ARRAYS, COLUMNS, Outcomes, Run, Said, columns
from afdcli.results.record import read_record, write_record
from afdcli.results.rowfile import read_rows

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
TOTAL, BATCH = 7, 2
LEVELS = (Compression("jpeg", 30), Compression("jpeg", 4))
EACH = 1 + len(LEVELS)
MODEL = ModelOptions(device="cpu", batch_size=EACH * BATCH)
NAMES = [f"{number}.jpg" for number in range(TOTAL)]


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 80))


@pytest.fixture
def folder(tmp_path):
    """Photos in four batches, the last one short; their folder is the class of the first of them."""
    (tmp_path / "photos" / "3").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        picture(seed).save(tmp_path / "photos" / "3" / name)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory):
    """A tiny random network, by itself and with a random module."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("network")
    network, file = folder / "network.safetensors", folder / "module.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), network)
    backbone = load_backbone("test_resnet", network)
    tap = backbone.tap("stage1")
    module = AFDModule(AFDConfig(tap.place.channels, width=4, depth=1, later=tap.widths, rank=4))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_checkpoint(Checkpoint(module, "stage1", "test_resnet", backbone.fingerprint), file)
    model = ModelOptions("test_resnet", network, "cpu")
    return {"none": load_classifier(model, "none"), "auto": load_classifier(model, str(file))}


@pytest.fixture(autouse=True)
def seen(monkeypatch, classifiers):
    """The names of the photos that are read, in order."""
    names, damage = [], command.damage

    def watched(case, **others):
        names.append(case.source.name.rpartition("/")[2])
        return damage(case, **others)

    monkeypatch.setattr(command, "load_engine", lambda _, name: classifiers[name])
    monkeypatch.setattr(command, "damage", watched)
    return names


def asked(folder, output, **others):
    return EvaluateOptions(folder, output, LEVELS, model=MODEL, **{"weights": ("none", "auto"), "workers": 0, **others})


def whole(options):
    """What a run gives that is left in peace: its rows."""
    run = Evaluation(options)
    list(run.photos())
    return run.write()


def made(output):
    """The bytes of what a run made."""
    return [output.read_bytes(), output.with_suffix(".outcomes.csv").read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("stop", range(TOTAL + 1))
def test_an_interrupted_run_goes_on_and_ends_in_the_same_bytes(folder, tmp_path, seen, stop):
    expected, output = tmp_path / "whole.csv", tmp_path / "a.csv"
    whole(asked(folder, expected))
    seen.clear()
    photos = Evaluation(asked(folder, output)).photos()
    for _ in range(stop):
        next(photos)
    photos.close()
    with pytest.raises(OutputRefused, match=r"from an interrupted run\. Add --resume"):
        Evaluation(asked(folder, output))
    seen.clear()
    run = Evaluation(asked(folder, output, resume=True))
    assert run.already == min(-(-stop // BATCH) * BATCH, TOTAL)
    assert [photo.case.source.name for photo in run.photos()] == [f"3/{name}" for name in NAMES]
    assert run.write() == run.rows()
    assert made(output) == made(expected)
    assert seen == NAMES[run.already :]


@pytest.mark.slow
@pytest.mark.parametrize("cut", [0, 1, 300, 900, 2500])
def test_outcomes_that_a_killed_run_cut_anywhere_are_gone_on_with(folder, tmp_path, cut):
    expected, output = tmp_path / "whole.csv", tmp_path / "a.csv"
    whole(asked(folder, expected))
    photos = Evaluation(asked(folder, output)).photos()
    for _ in range(5):
        next(photos)
    photos.close()
    outcomes = output.with_suffix(".outcomes.csv")
    outcomes.write_bytes(outcomes.read_bytes()[: outcomes.stat().st_size - cut])
    whole(asked(folder, output, resume=True))
    assert made(output) == made(expected)


@pytest.mark.slow
def test_photos_that_failed_or_were_replaced_since_are_done_anew_with_their_batch(folder, tmp_path, seen):
    output = tmp_path / "a.csv"
    good = (folder / "3" / NAMES[2]).read_bytes()
    (folder / "3" / NAMES[2]).write_bytes(good[:100])
    assert {row["images"] for row in whole(asked(folder, output))} == {TOTAL - 1}
    (folder / "3" / NAMES[2]).write_bytes(good)
    picture(50).save(folder / "3" / NAMES[6], quality=50)
    seen.clear()
    rows = whole(asked(folder, output, resume=True))
    assert seen == [NAMES[2], NAMES[3], NAMES[6]]
    assert rows == whole(asked(folder, tmp_path / "whole.csv"))
    assert made(output) == made(tmp_path / "whole.csv")


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"seed": 1, "shift": True}, {"weights": ("none",)}, {"order": "compress-first"}])
def test_another_measurement_does_not_go_on(folder, tmp_path, change):
    output = tmp_path / "a.csv"
    next(Evaluation(asked(folder, output)).photos())
    with pytest.raises(OutputRefused, match="begun with other settings"):
        Evaluation(asked(folder, output, resume=True, **change))


@pytest.mark.slow
def test_rows_changed_by_another_program_are_made_anew(folder, tmp_path):
    output = tmp_path / "a.csv"
    whole(asked(folder, output))
    before, outcomes = made(output), output.with_suffix(".outcomes.csv")
    text = outcomes.read_text()
    number = text.splitlines()[1].split(",")[9]
    outcomes.write_text(text.replace(f",{number},", f",{int(number) + 1},", 1))
    whole(asked(folder, output, resume=True))
    assert made(output) == before


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_each_photo_has_a_row_for_each_of_the_weights_and_each_level(folder, tmp_path, ending, classifiers):
    kept = tmp_path / f"kept{ending}"
    whole(asked(folder, tmp_path / "a.csv", per_photo=kept))
    rows = list(read_rows(kept, COLUMNS))
    assert [(row["path"], row["weights"], row["codec"], row["quality"]) for row in rows] == [
        (f"3/{name}", weights, codec, quality)
        for name in NAMES
        for weights in ("none", "auto")
        for codec, quality in (("clean", None), ("jpeg", 30), ("jpeg", 4))
    ]
    assert list(rows[0]) == list(COLUMNS)
    names = classifiers["none"].about.labels.names
    for row in rows:
        probabilities = [row[f"prob_{rank}"] for rank in range(1, 6)]
        assert probabilities == sorted(probabilities, reverse=True) and 0 < row["prob"] < 1
        assert (row["index"], row["label"]) == (3, names[3])
        for rank in range(1, 6):
            assert row[f"label_{rank}"] == names[row[f"index_{rank}"]]
            if row[f"index_{rank}"] == 3:
                assert row[f"prob_{rank}"] == row["prob"]
    clean = [row for row in rows if (row["codec"], row["weights"]) == ("clean", "none")]
    assert [row["bytes"] for row in clean] == [(folder / "3" / name).stat().st_size for name in NAMES]
    assert {row["pixels"] for row in clean} == {96 * 80}
    assert [row["table_quality"] for row in rows[:3]] == [75, 30, 4]


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_photos_that_lost_a_part_are_told_as_classify_tells_them(folder, tmp_path, ending, monkeypatch, classifiers):
    from afdcli.commands import classify

    monkeypatch.setattr(classify, "load_engine", lambda *_: classifiers["none"])
    data = (folder / "3" / NAMES[2]).read_bytes()
    (folder / "3" / NAMES[2]).write_bytes(data[: len(data) * 2 // 3])
    (folder / "3" / NAMES[4]).write_bytes(b"no photo")
    kept, read = tmp_path / f"kept{ending}", ReadOptions(truncated="read")
    found = whole(asked(folder, tmp_path / "a.csv", per_photo=kept, read=read))
    rows = list(read_rows(kept, columns(reads_truncated=True)))
    assert list(rows[0]) == [*COLUMNS, "complete", "present"]
    asked_too = ClassifyOptions((str(folder),), tmp_path / "c.csv", model=MODEL, workers=0, read=read)
    said = {row["path"]: (row["complete"], row["present"]) for row in Classification(asked_too).rows()}
    assert {(row["path"], row["complete"], row["present"]) for row in rows} == {
        (name, *two) for name, two in said.items()
    }
    assert said[f"3/{NAMES[0]}"] == (True, 100) and said[f"3/{NAMES[4]}"] == (None, None)
    assert not said[f"3/{NAMES[2]}"][0] and 0 < said[f"3/{NAMES[2]}"][1] < 100
    assert from_outcomes(EvaluateOptions(outcomes=(kept,)), writes=False) == found
    assert Evaluation(asked(folder, tmp_path / "a.csv", read=read, resume=True)).already == TOTAL - BATCH


@pytest.mark.slow
def test_what_undamaged_photos_get_is_what_classify_says(folder, tmp_path, monkeypatch, classifiers):
    from afdcli.commands import classify

    monkeypatch.setattr(classify, "load_engine", lambda *_: classifiers["none"])
    kept = tmp_path / "kept.csv"
    whole(asked(folder, tmp_path / "a.csv", per_photo=kept))
    said = Classification(ClassifyOptions((str(folder),), tmp_path / "c.csv", model=MODEL, workers=0)).rows()
    clean = [row for row in read_rows(kept, COLUMNS) if (row["codec"], row["weights"]) == ("clean", "none")]
    same = ["path", "status", "error", *(f"{name}_{rank}" for rank in range(1, 6) for name in ("label", "index"))]
    for row, other in zip(clean, said, strict=True):
        assert [row[name] for name in same] == [other[name] for name in same]
        assert row["prob_1"] == pytest.approx(other["prob_1"], abs=1e-4)
        assert row["table_quality"] == other["quality"]


@pytest.mark.slow
def test_figures_can_be_counted_by_hand_from_the_rows_of_each_photo(folder, tmp_path):
    kept = tmp_path / "kept.jsonl"
    rows = whole(asked(folder, tmp_path / "a.csv", per_photo=kept))
    right, agreed, sizes = Counter(), Counter(), Counter()
    own = {}
    for row in map(json.loads, kept.read_text().splitlines()):
        key = row["weights"], row["quality"]
        own.setdefault((row["path"], row["weights"]), row["index_1"])
        right[key] += row["index_1"] == row["index"]
        agreed[key] += row["index_1"] == own[row["path"], row["weights"]]
        sizes[key] += row["bytes"]
    for row in rows:
        key = row["weights"], row["quality"]
        assert row["top1"] == pytest.approx(100 * right[key] / TOTAL, abs=0.005)
        assert row["agreement"] == pytest.approx(100 * agreed[key] / TOTAL, abs=0.005)


# --from


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_table_rows_and_curves_are_made_again_without_photos_and_network(folder, tmp_path, ending, monkeypatch):
    kept, output = tmp_path / f"kept{ending}", tmp_path / "a.csv"
    whole(asked(folder, output, per_photo=kept, compare=True))
    shutil.rmtree(folder)
    monkeypatch.delattr(command, "load_engine")
    again = tmp_path / "b.csv"
    from_outcomes(EvaluateOptions(outcomes=(kept,), output=again, compare=True))
    for suffix in (".csv", ".md", ".png"):
        assert again.with_suffix(suffix).read_bytes() == output.with_suffix(suffix).read_bytes()


@pytest.mark.slow
def test_the_page_is_made_again_with_pictures_of_the_photos_that_are_still_there(folder, tmp_path, monkeypatch):
    kept, output, again = tmp_path / "kept.csv", tmp_path / "a.html", tmp_path / "again" / "a.html"
    again.parent.mkdir()
    for name in NAMES:  # without labels, some photos of this network flip
        (folder / "3" / name).rename(folder / name)
    whole(asked(folder, output.with_suffix(".csv"), per_photo=kept, compare=True))
    monkeypatch.delattr(command, "load_engine")
    options = EvaluateOptions(outcomes=(kept,), output=again.with_suffix(".csv"), compare=True)
    from_outcomes(options)
    assert again.read_bytes() == output.read_bytes()
    first = Elements(output.read_text("utf-8")).data
    assert first["pictures"] and first["pictures"].keys() <= {*NAMES}
    picture(50).save(folder / (replaced := next(iter(first["pictures"]))), quality=40)
    from_outcomes(replace(options, overwrite=True))
    assert Elements(again.read_text("utf-8")).data["pictures"].keys() == first["pictures"].keys() - {replaced}
    shutil.rmtree(folder)
    from_outcomes(replace(options, overwrite=True))
    assert Elements(again.read_text("utf-8")).data == {**first, "pictures": {}}


@pytest.mark.slow
def test_parts_of_a_data_set_make_the_whole_of_it(folder, tmp_path):
    rows = whole(asked(folder, tmp_path / "a.csv"))
    kept = []
    for part, names in (("one", NAMES[:3]), ("two", NAMES[3:])):
        for name in names:
            (tmp_path / part / "3").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "3" / name, tmp_path / part / "3")
        kept.append(tmp_path / f"{part}.jsonl")
        whole(asked(tmp_path / part, tmp_path / f"{part}.csv", per_photo=kept[-1]))
    assert from_outcomes(EvaluateOptions(outcomes=kept), writes=False) == rows
    with pytest.raises(WrongUse, match=r"The photo .3/0\.jpg. is in two of the files, and would count twice"):
        from_outcomes(EvaluateOptions(outcomes=(kept[0], kept[0])), writes=False)


@pytest.mark.slow
def test_modules_that_were_measured_one_by_one_are_compared(folder, tmp_path):
    rows, kept = whole(asked(folder, tmp_path / "a.csv")), []
    for name in ("none", "auto"):
        kept.append(tmp_path / f"{name}.jsonl")
        whole(asked(folder, tmp_path / f"{name}.csv", weights=(name,), per_photo=kept[-1]))
    assert from_outcomes(EvaluateOptions(outcomes=kept), writes=False) == rows
    both = tmp_path / "a.outcomes.csv"
    assert from_outcomes(EvaluateOptions(outcomes=(both, *kept)), writes=False) == rows
    (folder / "3" / NAMES[0]).write_bytes(b"no photo")
    other = tmp_path / "other.jsonl"
    whole(asked(folder, tmp_path / "o.csv", weights=("auto",), per_photo=other))
    found = from_outcomes(EvaluateOptions(outcomes=(kept[0], other)), writes=False)
    assert {row["images"] for row in found} == {TOTAL - 1}
    (folder / "3" / NAMES[0]).unlink()
    whole(asked(folder, tmp_path / "o.csv", weights=("auto",), per_photo=other, overwrite=True))
    with pytest.raises(WrongUse, match="must be of the same photos"):
        from_outcomes(EvaluateOptions(outcomes=(kept[0], other)), writes=False)


@pytest.mark.slow
def test_several_backbones_have_rows_tables_and_lines_of_their_own(folder, tmp_path, monkeypatch, classifiers):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    rows = whole(asked(folder, tmp_path / "a.csv", per_photo=first))
    renamed = second.with_suffix(".jsonl")
    monkeypatch.setattr(command, "load_engine", lambda _, name: named(classifiers[name], "another"))
    others = whole(asked(folder, tmp_path / "b.csv", per_photo=renamed))
    output = tmp_path / "both.csv"
    found = from_outcomes(EvaluateOptions(outcomes=(first, renamed), output=output, compare=True))
    assert found == [*rows, *others] and others[0]["backbone"] == "another"
    assert output.with_suffix(".md").read_text().count("| undamaged |") == 2
    runs = Elements(output.with_suffix(".html").read_text("utf-8")).data["runs"]
    assert [one["backbone"] for one in runs] == ["test_resnet", "another"]


def named(classifier, backbone):
    """`classifier`, as one that is called `backbone`."""

    class Named:
        about = replace(classifier.about, backbone=backbone, backbone_sha256=backbone)

        def __getattr__(self, name):
            return getattr(classifier, name)

    return Named()


@pytest.mark.slow
def test_what_is_no_whole_file_of_outcomes_is_refused(folder, tmp_path):
    kept, output = tmp_path / "kept.csv", tmp_path / "a.csv"
    whole(asked(folder, output, per_photo=kept))

    def refusal(path):
        with pytest.raises(WrongUse) as found:
            from_outcomes(EvaluateOptions(outcomes=(path,)), writes=False)
        return str(found.value)

    assert "There is no file" in refusal(tmp_path / "missing.csv")
    assert "has no record" in refusal(output.with_suffix(".csv.json"))
    assert "was changed by another program" in refusal(output)  # rows of levels, not of photos
    kept.write_text(kept.read_text().replace("ok", "OK", 1))
    assert "was changed since afd wrote it" in refusal(kept)
    record = tmp_path / "kept.csv.json"
    write_record(kept, {**read_record(kept), "complete": False})
    assert "is from an interrupted run" in refusal(kept)
    record.unlink()
    assert "has no record" in refusal(kept)


def test_from_measures_nothing():
    for others in ({"dataset": "photos"}, {"levels": LEVELS}, {"per_photo": "a.csv"}, {"seed": 1}, {"degraded": "x"}):
        with pytest.raises(WrongUse, match="measures nothing anew"):
            EvaluateOptions(outcomes=("a.csv",), **others)
    with pytest.raises(WrongUse, match="Name the folder of photos"):
        EvaluateOptions()
    assert EvaluateOptions(outcomes=("a.csv",), compare=True, overwrite=True).outcomes


# The arrays


def test_any_number_of_photos_is_added_up_in_arrays_that_grow():
    rng = np.random.default_rng(0)
    levels = (Level("clean", None, 0, "crop-first"), Level("jpeg", 10, 1, "crop-first"))
    run = Run("net", levels, {"none": (0, 0), "mine": (1, 2)})
    names = [f"class {number}" for number in range(9)]
    outcomes, said, labels, sizes = Outcomes(run, 1), {}, rng.integers(9, size=50), rng.integers(1, 99, (50, 2, 2))
    for name in run.costs:
        classes = np.argsort(rng.random((50, 2, 9)), 2)[:, :, :5]
        said[name] = Said(classes, rng.random((50, 2, 5), np.float32), rng.random((50, 2), np.float32), None)
    for number in range(50):
        case = Case(Source("", f"{number}"), int(labels[number]))
        photo = Damaged(case, "", None, sizes[number], np.array([np.nan, 10]))
        outcomes.add(run.rows(photo, number, said, names))
    assert outcomes.array("labels").tolist() == labels.tolist()
    assert outcomes.array("sizes").tolist() == sizes.tolist()
    for one in outcomes.measured:
        assert one.classes.tolist() == said[one.weights].classes.tolist()
        assert one.probabilities[:, :, 0].tolist() == said[one.weights].probabilities[:, :, 0].tolist()
        assert one.probabilities[:, :, 1].tolist() == said[one.weights].right.tolist()


def test_many_photos_at_many_levels_take_tens_of_megabytes():
    levels = tuple(Level("jpeg", quality, 1, "crop-first") for quality in range(26))
    outcomes = Outcomes(Run("net", levels, {"none": (0, 0)}), 50_000)
    assert sum(outcomes._arrays[name].nbytes for name in ARRAYS) < 60e6


def test_the_columns_have_the_types_of_those_of_the_same_name_elsewhere():
    for name in COLUMNS.keys() & ACCURACY.keys():
        assert COLUMNS[name] is ACCURACY[name]
