"""Figures are what hand counting gives, on the photos and labels they claim to be about."""

import csv
import io
import json
import math
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from afdcli.commands import evaluate as command
from afdcli.commands.classify import classify
from afdcli.commands.degrade import Degrading
from afdcli.commands.evaluate import Evaluation
from afdcli.errors import OutputExists, OutputRefused, WrongUse
from afdcli.formats.codecs import CODECS
from afdcli.models.classifier import load_classifier
from afdcli.options import (
    ClassifyOptions,
    Compression,
    DegradeOptions,
    EvaluateOptions,
    ModelOptions,
    ReadOptions,
    degradations,
)
from afdcli.options.damage import levels_of
from afdcli.photos import damage
from afdcli.photos.sources import Sources
from afdcli.results.accuracy import COLUMNS

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
CPU = ModelOptions(device="cpu")
PHOTOS = 6


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """The default output is in a folder where there is none."""
    monkeypatch.chdir(tmp_path)


def picture(seed, width=240, height=180):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    return Image.fromarray((np.asarray(coarse) + rng.normal(0, 12, (height, width, 3))).clip(0, 255).astype(np.uint8))


def data_folder():
    """Where the photos lie that are not part of the project."""
    return Path(os.environ.get("AFD_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A small network with ImageNet's classes. Its weights are random, but what it says depends on what it sees."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=1000).eval()
    seen = np.stack([np.asarray(picture(seed).resize((160, 160))) for seed in range(100, 116)])
    with torch.inference_mode():
        average = model(torch.from_numpy(seen).permute(0, 3, 1, 2) / 127.5 - 1).mean(0)
    state = model.state_dict()
    state["head.bias"] = (state["head.bias"] - average).clone()
    path = tmp_path_factory.mktemp("network") / "vit.safetensors"
    save_file(state, path)
    return load_classifier(ModelOptions("test_vit", path, "cpu"))


@pytest.fixture(scope="session")
def real_classifier():
    return load_classifier(CPU)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, classifier):
    monkeypatch.setattr(command, "load_engine", lambda *_: classifier)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Photos without labels."""
    folder = tmp_path_factory.mktemp("plain")
    for seed in range(PHOTOS):
        picture(seed, 240 + 10 * seed).save(folder / f"{seed}.jpg", quality=92)
    return folder


@pytest.fixture(scope="module")
def predicted(plain, classifier):
    """What `afd classify` says of them: for each the five classes, most probable first."""
    options = ClassifyOptions((str(plain),), model=CPU, workers=0)
    batches = classify(Sources([str(plain)]), classifier, options)
    return [[index for _, index, _ in one.classes] for batch in batches for one in batch]


@pytest.fixture(scope="module")
def labelled(plain, predicted, tmp_path_factory):
    """Four of the photos in the right class, one in its second choice, one in a class it has nothing of."""
    folder = tmp_path_factory.mktemp("labelled")
    other = min(set(range(1000)) - {index for five in predicted for index in five})
    classes = [five[0] for five in predicted[:4]] + [predicted[4][1], other]
    for number, index in enumerate(classes):
        (folder / str(index)).mkdir(exist_ok=True)
        shutil.copy(plain / f"{number}.jpg", folder / str(index))
    return folder


def evaluate(dataset, *qualities, codec="jpeg", **others):
    options = EvaluateOptions(
        dataset,
        levels=tuple(Compression(codec, quality) for quality in qualities),
        model=CPU,
        **{"workers": 0, **others},
    )
    run = Evaluation(options, writes=False)
    list(run.photos())
    return run.rows()


def degraded(dataset, destination, *qualities, passes=1, shift=False, **others):
    wanted = degradations(tuple(Compression("jpeg", quality) for quality in qualities), passes, shift)
    list(Degrading(DegradeOptions(dataset, destination, wanted, workers=0, **others)).copies())
    return destination


def wilson(right, total, z=1.959963984540054):
    """E. B. Wilson, 1927: the interval of a share, in percent."""
    share = right / total
    centre = share + z**2 / (2 * total)
    spread = z * (share * (1 - share) / total + z**2 / (4 * total**2)) ** 0.5
    return [100 * (centre + sign * spread) / (1 + z**2 / total) for sign in (-1, 1)]


# Figures


@pytest.mark.slow
def test_the_undamaged_photos_come_first_and_agree_with_themselves(labelled):
    rows = evaluate(labelled, 20, 5)
    assert [(row["codec"], row["quality"], row["passes"]) for row in rows] == [
        ("clean", None, 0),
        ("jpeg", 20, 1),
        ("jpeg", 5, 1),
    ]
    assert rows[0]["agreement"] == 100
    assert {row["images"] for row in rows} == {PHOTOS}


def test_accuracy_is_what_hand_counting_gives(labelled):
    clean = evaluate(labelled)[0]
    assert clean["top1"] == pytest.approx(100 * 4 / 6, abs=0.005)
    assert clean["top5"] == pytest.approx(100 * 5 / 6, abs=0.005)
    assert [clean["top1_low"], clean["top1_high"]] == pytest.approx(wilson(4, 6), abs=0.005)


@pytest.mark.slow
def test_other_weights_are_compared_with_the_first(labelled, monkeypatch, classifier, tmp_path):
    class Stubborn(type(classifier)):
        """Always says what the last class of the list is."""

        def predict_topk(self, pixels, k, quality):
            indices, *others = super().predict_topk(pixels, k, quality)
            return np.full_like(indices, 999), *others

    other = Stubborn(classifier.backbone).eval()
    monkeypatch.setattr(command, "load_engine", lambda _, name: classifier if name == "none" else other)
    (tmp_path / "other").write_bytes(b"")
    rows = evaluate(labelled, 5, weights=("none", str(tmp_path / "other")))
    assert [row["difference"] for row in rows[:2]] == [None, None]
    assert [row["difference"] for row in rows[2:]] == [-rows[0]["top1"], -rows[1]["top1"]]


@pytest.mark.slow
def test_classifiers_are_told_the_quality_in_each_files_tables(plain, monkeypatch, classifier):
    told = []

    class Listening(type(classifier)):
        def predict_topk(self, pixels, k, quality):
            told.append(quality.tolist())
            return super().predict_topk(pixels, k, quality)

    listening = Listening(classifier.backbone).eval()
    monkeypatch.setattr(command, "load_engine", lambda *_: listening)
    levels = (Compression("jpeg", 7), Compression("avif", 30), Compression("jpeg", 25))
    for order in ("crop-first", "compress-first"):
        list(
            Evaluation(EvaluateOptions(plain, levels=levels, order=order, model=CPU, workers=0), writes=False).photos()
        )
    first = [quality for one in told for quality in one][:4]
    assert [first[0], first[1], first[3]] == [92.0, 7.0, 25.0] and math.isnan(first[2])


@pytest.mark.slow
@pytest.mark.parametrize("methods", [1, 3])
@pytest.mark.parametrize("order", ["crop-first", "compress-first"])
def test_each_photo_is_read_once_and_compressed_once_a_level_whatever_is_compared(
    plain, monkeypatch, tmp_path, methods, order
):
    calls = Counter()

    def counted(function):
        def call(*args):
            calls[function.__name__] += 1
            return function(*args)

        return call

    for name in ("encode", "read_source", "decode_rgb"):
        monkeypatch.setattr(damage, name, counted(getattr(damage, name)))
    files = [tmp_path / f"{number}" for number in range(methods)]
    for file in files:
        file.touch()
    evaluate(plain, 10, 25, weights=tuple(map(str, files)), order=order)
    assert calls == {"read_source": PHOTOS, "encode": 2 * PHOTOS, "decode_rgb": 3 * PHOTOS}


def test_the_same_module_named_twice_is_refused(plain, tmp_path):
    (tmp_path / "m.safetensors").touch()
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "m.safetensors")
    first = str(tmp_path / "m.safetensors")
    for second in (first, f"{tmp_path}/./m.safetensors", str(tmp_path / "link.safetensors")):
        with pytest.raises(WrongUse, match="twice"):
            EvaluateOptions(plain, weights=("none", first, second))


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["labelled", "plain"])
def test_a_comparison_leaves_a_table_and_curves_beside_the_rows(fixture, request, tmp_path):
    options = EvaluateOptions(
        request.getfixturevalue(fixture), tmp_path / "a.csv", (Compression("jpeg", 10),), compare=True, workers=0
    )
    run = Evaluation(options)
    list(run.photos())
    run.write()
    assert "JPEG 10" in (tmp_path / "a.md").read_text()
    assert Image.open(tmp_path / "a.png").size[1] == 600
    assert "test_vit" in (tmp_path / "a.html").read_text("utf-8")
    with pytest.raises(OutputExists, match="Add --overwrite"):
        Evaluation(options)
    run = Evaluation(replace(options, overwrite=True))
    list(run.photos())
    run.write()
    for name in ("mine.md", "yours.html"):
        (tmp_path / name).touch()
        with pytest.raises(OutputRefused, match=rf"{name}' exists"):
            Evaluation(replace(options, output=(tmp_path / name).with_suffix(".csv")))


def test_photos_without_labels_give_agreement_only(plain):
    for row in evaluate(plain, 5):
        assert [row[name] for name in ("top1", "top1_low", "top1_high", "top5")] == [None] * 4
        assert row["agreement"] is not None


@pytest.mark.slow
def test_missing_and_empty_class_folders_renumber_nothing(labelled, tmp_path):
    before = evaluate(labelled)
    shutil.copytree(labelled, tmp_path / "more")
    for name in ("0", "n01443537", "tabby", "999"):
        (tmp_path / "more" / name).mkdir(exist_ok=True)
    assert evaluate(tmp_path / "more") == before


def test_crop_first_compresses_what_the_network_sees(plain, classifier, predicted):
    agreed = size = 0
    for number in range(PHOTOS):
        with Image.open(plain / f"{number}.jpg") as photo:
            crop = classifier.backbone.preprocessing(photo.convert("RGB"))
        buffer = io.BytesIO()
        crop.save(buffer, "JPEG", quality=4, subsampling="4:2:0")
        size += buffer.tell()
        index, *_ = classifier.predict_topk(np.array(Image.open(buffer))[None], 1)
        agreed += index[0, 0] == predicted[number][0]
    row = evaluate(plain, 4)[1]
    assert row["order"] == "crop-first"
    assert row["agreement"] == pytest.approx(100 * agreed / PHOTOS, abs=0.005)
    assert row["bytes_per_pixel"] == pytest.approx(size / (PHOTOS * 160 * 160), abs=5e-5)


@pytest.mark.slow
def test_compress_first_compresses_the_photo_at_its_own_size(plain, classifier, predicted):
    agreed = size = pixels = 0
    for number in range(PHOTOS):
        buffer = io.BytesIO()
        with Image.open(plain / f"{number}.jpg") as photo:
            photo.convert("RGB").save(buffer, "JPEG", quality=4, subsampling="4:2:0")
            pixels += photo.width * photo.height
        size += buffer.tell()
        index, *_ = classifier.predict_topk(np.array(classifier.backbone.preprocessing(Image.open(buffer)))[None], 1)
        agreed += index[0, 0] == predicted[number][0]
    row = evaluate(plain, 4, order="compress-first")[1]
    assert row["order"] == "compress-first"
    assert row["agreement"] == pytest.approx(100 * agreed / PHOTOS, abs=0.005)
    assert row["bytes_per_pixel"] == pytest.approx(size / pixels, abs=5e-5)


def test_bytes_per_pixel_of_undamaged_photos_is_that_of_their_files(plain):
    paths = [plain / f"{number}.jpg" for number in range(PHOTOS)]
    size = sum(path.stat().st_size for path in paths)
    pixels = sum(np.prod(Image.open(path).size) for path in paths)
    assert evaluate(plain)[0]["bytes_per_pixel"] == pytest.approx(size / pixels, abs=5e-5)


@pytest.mark.slow
@pytest.mark.skipif(CODECS["avif"].provider() is None, reason="no AVIF here")
def test_avif_levels_are_measured(plain):
    clean, row = evaluate(plain, 10, codec="avif")
    assert (row["codec"], row["quality"]) == ("avif", 10)
    assert row["bytes_per_pixel"] < clean["bytes_per_pixel"] / 2


@pytest.mark.slow
def test_corruptions_are_measured_as_codecs_are_and_are_the_same_copies(plain, tmp_path):
    pytest.importorskip("imagecorruptions")
    clean, *rows = evaluate(plain, 1, 5, codec="gaussian_noise", order="compress-first")
    assert [(row["codec"], row["quality"], row["passes"]) for row in rows] == [
        ("gaussian_noise", 1, 1),
        ("gaussian_noise", 5, 1),
    ]
    assert rows[1]["agreement"] < clean["agreement"]
    wanted = degradations(tuple(Compression("gaussian_noise", severity) for severity in (1, 5)), 1, False)
    list(Degrading(DegradeOptions(plain, tmp_path / "copies", wanted, read=ReadOptions(), workers=0)).copies())
    assert (tmp_path / "copies" / "gaussian_noise-5" / "0.jpg.png").exists()
    assert by_quality(evaluate(plain, degraded=tmp_path / "copies")) == by_quality([clean, *rows])


@pytest.mark.slow
def test_what_an_encoder_is_told_is_in_rows_and_manifests_and_copies_are_the_same(plain, tmp_path):
    levels = levels_of(["webp:20:method=0", "jpeg:20:optimize=yes,subsampling=4:4:4"])
    run = Evaluation(EvaluateOptions(plain, levels=levels, order="compress-first", model=CPU, workers=0), writes=False)
    list(run.photos())
    rows = run.rows()
    assert [row["codec"] for row in rows[1:]] == ["webp method=0", "jpeg 4:4:4 optimize=yes"]
    wanted = degradations(levels, 1, False)
    degrading = Degrading(DegradeOptions(plain, tmp_path / "copies", wanted, read=ReadOptions(), workers=0))
    kinds = {copy.row["codec"] for _, copies in degrading.copies() for copy in copies}
    assert kinds == {"webp method=0", "jpeg 4:4:4 optimize=yes"}
    from_copies = evaluate(plain, degraded=tmp_path / "copies")
    assert {row["codec"]: row["bytes_per_pixel"] for row in from_copies} == {
        row["codec"]: row["bytes_per_pixel"] for row in rows
    }


@pytest.mark.slow
def test_each_number_of_passes_has_its_rows(plain):
    rows = evaluate(plain, 20, 5, passes=(1, 3))
    assert [(row["quality"], row["passes"]) for row in rows[1:]] == [(20, 1), (5, 1), (20, 3), (5, 3)]


@pytest.mark.slow
def test_the_seed_decides_what_is_drawn(plain):
    first, again, other = (evaluate(plain, 60, 3, passes=(2,), seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first[1]["bytes_per_pixel"] != other[1]["bytes_per_pixel"]


@pytest.mark.slow
def test_batches_and_workers_change_nothing(labelled):
    rows = evaluate(labelled, 20, 5)
    run = Evaluation(
        EvaluateOptions(
            labelled,
            levels=(Compression("jpeg", 20), Compression("jpeg", 5)),
            model=ModelOptions(device="cpu", batch_size=7),
            workers=1,
        )
    )
    list(run.photos())
    assert run.rows() == rows


@pytest.mark.slow
@pytest.mark.parametrize(("passes", "shift"), [(1, False), (3, True)])
def test_degraded_copies_give_the_figures_of_compressing_on_the_fly(labelled, tmp_path, passes, shift):
    copies = degraded(labelled, tmp_path / "copies", 5, 20, passes=passes, shift=shift)
    from_copies = evaluate(labelled, degraded=copies)
    on_the_fly = evaluate(labelled, 5, 20, passes=(passes,), shift=shift, order="compress-first")
    assert by_quality(from_copies) == by_quality(on_the_fly)


@pytest.mark.slow
def test_degraded_copies_of_the_networks_size_are_crop_first(monkeypatch, real_classifier, labelled, tmp_path):
    monkeypatch.setattr(command, "load_engine", lambda *_: real_classifier)
    copies = degraded(labelled, tmp_path / "copies", 5, size=224)
    from_copies = evaluate(labelled, degraded=copies)
    assert from_copies[1]["order"] == "crop-first"
    assert from_copies == evaluate(labelled, 5)


@pytest.mark.slow
def test_imagenet_cs_folders_are_read_as_they_are(labelled, classifier, tmp_path):
    preprocessing = classifier.backbone.preprocessing
    for corruption, severities in (("jpeg_compression", "25"), ("fog", "1")):
        for severity in severities:
            for path in labelled.glob("*/*.jpg"):
                copy = tmp_path / corruption / severity / path.relative_to(labelled)
                copy.parent.mkdir(parents=True, exist_ok=True)
                preprocessing(Image.open(path)).save(copy, "JPEG", quality={"2": 18, "5": 7, "1": 50}[severity])
    options = EvaluateOptions(labelled, degraded=tmp_path / "jpeg_compression", workers=0)
    run = Evaluation(options, writes=False)
    list(run.photos())
    assert run.rows() == evaluate(labelled, 18, 7)
    run = Evaluation(replace(options, degraded=tmp_path / "fog"), writes=False)
    assert [(level.codec, level.quality, level.order) for level in run.levels] == [("fog", 1, "crop-first")]
    (tmp_path / "empty" / "1").mkdir(parents=True)
    with pytest.raises(WrongUse, match="none of the photos"):
        Evaluation(replace(options, degraded=tmp_path / "empty"), writes=False)


def by_quality(rows):
    return sorted(rows, key=lambda row: row["quality"] or 0)


def test_a_photo_without_a_copy_is_in_no_row(plain, tmp_path):
    copies = degraded(plain, tmp_path / "copies", 5)
    (copies / "jpeg-5" / "2.jpg").unlink()
    run = Evaluation(EvaluateOptions(plain, degraded=copies, model=CPU, workers=0))
    errors = [photo.case.source.name for photo in run.photos() if photo.error]
    assert errors == ["2.jpg"]
    assert {row["images"] for row in run.rows()} == {PHOTOS - 1}


def test_a_damaged_copy_is_one_failure_and_ends_nothing(plain, tmp_path):
    copies = degraded(plain, tmp_path / "copies", 5)
    (copies / "jpeg-5" / "2.jpg").write_bytes((copies / "jpeg-5" / "2.jpg").read_bytes()[:-100])
    run = Evaluation(EvaluateOptions(plain, degraded=copies, model=CPU, workers=0))
    assert [photo.case.source.name for photo in run.photos() if photo.error] == ["2.jpg"]


@pytest.mark.slow
def test_stale_and_altered_copies_are_in_no_row(plain, tmp_path):
    """Their pixels would be counted as damage."""
    shutil.copytree(plain, tmp_path / "photos")
    copies = degraded(tmp_path / "photos", tmp_path / "copies", 5)
    shutil.copy(plain / "0.jpg", tmp_path / "photos" / "1.jpg")
    shutil.copy(copies / "jpeg-5" / "0.jpg", copies / "jpeg-5" / "2.jpg")
    shutil.copy(plain / "0.jpg", tmp_path / "photos" / "new.jpg")
    run = Evaluation(EvaluateOptions(tmp_path / "photos", degraded=copies, model=CPU, workers=0))
    errors = {photo.case.source.name: photo.error for photo in run.photos() if photo.error}
    assert errors == {
        "1.jpg": "the photo has changed since its copy in jpeg-5 was made; run afd degrade again",
        "2.jpg": "its copy in jpeg-5 has been altered since it was made; run afd degrade again",
        "new.jpg": "no copy in jpeg-5; run afd degrade again",
    }
    assert {row["images"] for row in run.rows()} == {PHOTOS - 2}


def test_what_a_codec_cannot_hold_is_in_no_row(plain, tmp_path):
    shutil.copy(plain / "0.jpg", tmp_path / "a.jpg")
    Image.new("RGB", (40_000, 9)).save(tmp_path / "b.png")
    options = EvaluateOptions(tmp_path, levels=(Compression("avif", 20),), order="compress-first", model=CPU, workers=0)
    errors = [(photo.case.source.name, photo.error) for photo in Evaluation(options).photos() if photo.error]
    assert errors == [("b.png", "AVIF cannot hold a side of 40,000 pixels, only 32,768")]


def test_a_folder_without_manifests_is_refused(plain, tmp_path):
    with pytest.raises(WrongUse, match="no copies made by afd degrade"):
        evaluate(plain, degraded=tmp_path)


def test_a_manifest_without_rows_is_refused_or_passed_over(plain, tmp_path):
    """As an interrupted run may leave one."""
    copies = degraded(plain, tmp_path / "copies", 5)
    manifest = copies / "jpeg-5.csv"
    manifest.write_bytes(manifest.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(WrongUse):
        evaluate(plain, degraded=copies)


@pytest.mark.slow
def test_bad_photos_are_counted_apart(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "photos")
    (tmp_path / "photos" / "3.5.jpg").write_bytes(b"no photo")
    (tmp_path / "photos" / "0.5.jpg").write_bytes((plain / "0.jpg").read_bytes()[:-500])
    options = EvaluateOptions(tmp_path / "photos", levels=(Compression("jpeg", 5),), model=CPU, workers=0)
    run = Evaluation(options)
    assert [photo.case.source.name for photo in run.photos() if photo.error] == ["0.5.jpg", "3.5.jpg"]
    assert run.rows() == evaluate(plain, 5)


def test_photos_of_which_none_can_be_read_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(WrongUse, match=r"Not one photo of .*photos. can be read"):
        evaluate(tmp_path / "photos")


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(WrongUse, match="There is no image"):
        evaluate(tmp_path)


def test_rows_are_written_with_a_record_of_how_they_were_made(labelled, tmp_path):
    options = EvaluateOptions(
        labelled, tmp_path / "accuracy.csv", (Compression("jpeg", 5),), seed=3, model=CPU, workers=0
    )
    run = Evaluation(options)
    list(run.photos())
    written = run.write()
    with options.output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [list(COLUMNS)] * 2
    assert [float(row["top1"]) for row in rows] == [row["top1"] for row in written]
    found = json.loads((tmp_path / "accuracy.csv.json").read_text())
    assert found["program"] == "afd evaluate"
    assert found["complete"] is True
    assert found["command"]
    assert {"torch", "timm", "pillow", "jpeg"} <= found["versions"].keys()
    assert found["settings"]["seed"] == 3
    assert found["settings"]["backbone_sha256"] == command.load_engine(None).about.backbone_sha256


@pytest.mark.slow
def test_on_real_photos_accuracy_is_sane_and_compression_costs_some(monkeypatch, real_classifier, tmp_path):
    monkeypatch.setattr(command, "load_engine", lambda *_: real_classifier)
    folders = sorted((data_folder() / "imagenet-dev").glob("n*"))[::10]
    if len(folders) < 50:
        pytest.skip("the photos for evaluating are not here")
    for folder in folders:
        (tmp_path / folder.name).symlink_to(folder)
    clean, damaged = evaluate(tmp_path, 7, order="compress-first")
    assert clean["images"] == len(folders)
    assert 60 <= clean["top1"] <= 95
    assert damaged["top1"] < clean["top1"]
