"""Copies are exactly what was asked for, in a mirrored tree, and nothing else is touched."""

import csv
import errno
import hashlib
import io
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from afdcli.cli import app
from afdcli.commands.degrade import Degrading
from afdcli.errors import OutputRefused, WrongUse
from afdcli.formats.codecs import CODECS
from afdcli.options import Compression, Degradation, DegradeOptions, ReadOptions, degradations
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.quality import jpeg_quality
from afdcli.photos.sources import Source
from afdcli.results.copies import COLUMNS

NAMES = ["a.jpg", "a.png", "a.png.jpg", "holiday/a.jpg", "holiday/deep/clear.png", "holiday/sideways.JPG", "z.webp"]
COPIES = [
    "a.jpg",
    "a.png.jpg.jpg",
    "a.png.jpg",
    "holiday/a.jpg",
    "holiday/deep/clear.png.jpg",
    "holiday/sideways.JPG",
    "z.webp.jpg",
]


def picture(seed, width=90, height=70):
    rng = np.random.default_rng(seed)
    pixels = np.asarray(Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((width, height)))
    return Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    (folder / "holiday" / "deep").mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        image = picture(seed)
        exif = Image.Exif()
        if "clear" in name:
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        if "sideways" in name:
            exif[0x0112] = 6
        image.save(folder / name, exif=exif, quality=93)
    return folder


def levels(*qualities, codec="jpeg", passes=1, shift=False):
    return degradations(tuple(Compression(codec, quality) for quality in qualities), passes, shift)


def degrade(source, destination, wanted=levels(10), **others):  # noqa: B008
    run = Degrading(DegradeOptions(source, destination, wanted, **{"workers": 0, **others}))
    done = list(run.copies())
    assert len(done) == run.total
    return done


def manifest(destination, name="jpeg-10"):
    with (destination / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tree(folder):
    """Every file below `folder` and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def results(folder):
    """The same without the records, which have the command in them."""
    return {name: data for name, data in tree(folder).items() if not name.endswith(".json")}


def times(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def plain_save(pixels, quality=10):
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def afd(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["afd", *map(str, args)])
    with pytest.raises(SystemExit) as end:
        app.main()
    return end.value.code


def assert_manifest_is_right(source, destination, name="jpeg-10"):
    rows = manifest(destination, name)
    assert [row["source"] for row in rows] == sorted(str(path.relative_to(source)) for path in files(source))
    for row in rows:
        copy = (destination / row["path"]).read_bytes()
        assert row["status"] == "ok"
        assert row["source_sha256"] == hashlib.sha256((source / row["source"]).read_bytes()).hexdigest()
        assert row["sha256"] == hashlib.sha256(copy).hexdigest()
        assert int(row["bytes"]) == len(copy)
        assert (int(row["width"]), int(row["height"])) == Image.open(io.BytesIO(copy)).size
    copies = {str(path.relative_to(destination)) for path in files(destination / name)}
    assert copies == {row["path"] for row in rows}


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_tree_is_mirrored_and_names_never_collide(source, tmp_path):
    degrade(source, tmp_path / "out")
    assert sorted(tree(tmp_path / "out" / "jpeg-10")) == sorted(COPIES)
    assert [row["path"] for row in manifest(tmp_path / "out")] == [f"jpeg-10/{name}" for name in COPIES]
    assert_manifest_is_right(source, tmp_path / "out")


def test_only_copies_manifests_and_records_are_left(source, tmp_path):
    degrade(source, tmp_path / "out", levels(10, 25))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        name + ending for name in ("jpeg-10", "jpeg-25") for ending in ("", ".csv", ".csv.json")
    )
    assert not list((tmp_path / "out").rglob("*.partial*"))


def test_a_copy_is_one_plain_save_of_the_decoded_pixels(source, tmp_path):
    degrade(source, tmp_path / "out")
    for name in ("a.jpg", "a.png", "a.png.jpg"):
        copy = tmp_path / "out" / "jpeg-10" / COPIES[NAMES.index(name)]
        assert copy.read_bytes() == plain_save(Image.open(source / name).convert("RGB"))


def test_transparency_is_laid_over_white(source, tmp_path):
    degrade(source, tmp_path / "out")
    clear = Image.open(source / "holiday/deep/clear.png")
    over_white = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    assert (tmp_path / "out/jpeg-10/holiday/deep/clear.png.jpg").read_bytes() == plain_save(over_white)


@pytest.mark.parametrize(("exif", "size"), [("apply", (70, 90)), ("ignore", (90, 70))])
def test_exif_orientation_is_applied_or_ignored_and_gone(source, tmp_path, exif, size):
    degrade(source, tmp_path / "out", read=ReadOptions(exif))
    copy = tmp_path / "out/jpeg-10/holiday/sideways.JPG"
    stored = Image.open(source / "holiday/sideways.JPG").convert("RGB")
    shown = stored.transpose(Image.Transpose.ROTATE_270) if exif == "apply" else stored
    assert copy.read_bytes() == plain_save(shown)
    assert Image.open(copy).size == size
    assert not Image.open(copy).getexif()


def test_qualities_are_in_the_copies(source, tmp_path):
    degrade(source, tmp_path / "out", levels(10, 7))
    for quality in (10, 7):
        for path in files(tmp_path / "out" / f"jpeg-{quality}"):
            assert jpeg_quality(Image.open(path).quantization) == (quality, True)


@pytest.mark.skipif(CODECS["avif"].provider() is None, reason="no AVIF here")
def test_avif_copies_are_avif(source, tmp_path):
    degrade(source, tmp_path / "out", levels(30, codec="avif"))
    assert "a.jpg.avif" in tree(tmp_path / "out/avif-30")
    assert {Image.open(path).format for path in files(tmp_path / "out/avif-30")} == {"AVIF"}
    assert_manifest_is_right(source, tmp_path / "out", "avif-30")


def test_a_sequence_is_saves_one_after_the_other(source, tmp_path):
    sequence = Degradation(tuple((Compression("jpeg", quality),) for quality in (25, 10)))
    degrade(source, tmp_path / "out", (sequence,))
    once = Image.open(io.BytesIO(plain_save(Image.open(source / "a.png"), 25)))
    assert (tmp_path / "out/jpeg-25-10/a.png.jpg.jpg").read_bytes() == plain_save(once)
    assert manifest(tmp_path / "out", "jpeg-25-10")[0]["passes"] == "2"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_nothing(source, tmp_path, workers):
    wanted = levels(10, 25, passes=3, shift=True)
    degrade(source, tmp_path / "one", wanted)
    degrade(source, tmp_path / "two", wanted, workers=workers)
    assert results(tmp_path / "one") == results(tmp_path / "two")


def test_another_seed_draws_other_passes(source, tmp_path):
    wanted = levels(10, 25, passes=3, shift=True)
    degrade(source, tmp_path / "zero", wanted)
    degrade(source, tmp_path / "one", wanted, seed=1)
    name = wanted[0].name
    zero, one = tree(tmp_path / "zero" / name), tree(tmp_path / "one" / name)
    assert zero.keys() == one.keys()
    assert all(zero[path] != one[path] for path in zero)


def test_seed_changes_nothing_where_nothing_is_drawn(source, tmp_path):
    degrade(source, tmp_path / "zero")
    degrade(source, tmp_path / "one", seed=1)
    assert tree(tmp_path / "zero/jpeg-10") == tree(tmp_path / "one/jpeg-10")


def test_size_crops_first(source, tmp_path):
    degrade(source, tmp_path / "out", size=48)
    for row in manifest(tmp_path / "out"):
        assert (row["width"], row["height"]) == ("48", "48")
    cropped = Preprocessing(48)(Image.open(source / "a.png"))
    assert (tmp_path / "out/jpeg-10/a.png.jpg.jpg").read_bytes() == plain_save(cropped)


def test_the_source_is_never_changed(source, tmp_path):
    before = tree(source), times(source)
    degrade(source, tmp_path / "out", levels(10, 25), workers=1)
    degrade(source, tmp_path / "out", levels(10, 25))
    assert (tree(source), times(source)) == before


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_run_makes_nothing_anew(source, tmp_path, workers):
    degrade(source, tmp_path / "out")
    before = results(tmp_path / "out"), times(tmp_path / "out" / "jpeg-10")
    assert all(copies[0].known for _, copies in degrade(source, tmp_path / "out", workers=workers))
    assert (results(tmp_path / "out"), times(tmp_path / "out" / "jpeg-10")) == before


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("harm", ["deleted", "tampered", "source changed"])
@pytest.mark.parametrize("index", [0, 3, len(NAMES) - 1])
def test_a_second_run_mends_one_copy_and_keeps_the_manifest_right(source, tmp_path, workers, harm, index):
    degrade(source, tmp_path / "out")
    copy = tmp_path / "out" / "jpeg-10" / COPIES[index]
    before = times(tmp_path / "out" / "jpeg-10")
    if harm == "deleted":
        copy.unlink()
    elif harm == "tampered":
        copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    else:
        picture(99).save(source / NAMES[index])
    degrade(source, tmp_path / "out", workers=workers)
    assert_manifest_is_right(source, tmp_path / "out")
    after = times(tmp_path / "out" / "jpeg-10")
    assert {name for name in COPIES[:index] if after[name] != before[name]} == set()
    pixels = Image.open(source / NAMES[index]).convert("RGB")
    if NAMES[index] != "holiday/deep/clear.png":
        assert copy.read_bytes() == plain_save(pixels)


def test_only_what_is_not_verified_is_made_anew(source, tmp_path):
    degrade(source, tmp_path / "out")
    before = times(tmp_path / "out" / "jpeg-10")
    (tmp_path / "out/jpeg-10" / COPIES[1]).unlink()
    degrade(source, tmp_path / "out")
    after = times(tmp_path / "out" / "jpeg-10")
    assert {name for name in COPIES if after[name] != before[name]} == {COPIES[1]}


def test_a_new_photo_gets_its_row_in_its_place(source, tmp_path):
    degrade(source, tmp_path / "out")
    picture(50).save(source / "holiday" / "b.jpg")
    degrade(source, tmp_path / "out")
    assert_manifest_is_right(source, tmp_path / "out")


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_a_photo_taken_away_leaves_no_row(source, tmp_path, name):
    degrade(source, tmp_path / "out")
    (source / name).unlink()
    degrade(source, tmp_path / "out")
    assert [row["source"] for row in manifest(tmp_path / "out")] == [other for other in NAMES if other != name]


def test_a_manifest_cut_short_is_completed(source, tmp_path):
    degrade(source, tmp_path / "out")
    whole = tree(tmp_path / "out")
    path = tmp_path / "out" / "jpeg-10.csv"
    path.write_bytes(path.read_bytes()[:-250])
    degrade(source, tmp_path / "out")
    assert tree(tmp_path / "out") == whole


def test_a_second_quality_is_added_beside_the_first(source, tmp_path):
    degrade(source, tmp_path / "out", levels(10))
    before = tree(tmp_path / "out")
    degrade(source, tmp_path / "out", levels(25))
    assert {name: data for name, data in tree(tmp_path / "out").items() if "jpeg-10" in name} == before
    assert_manifest_is_right(source, tmp_path / "out", "jpeg-25")


@pytest.mark.parametrize(
    ("change", "name"),
    [({"size": 32}, "size"), ({"seed": 3}, "seed"), ({"read": ReadOptions("ignore")}, "exif")],
)
def test_other_settings_are_refused_by_name(source, tmp_path, change, name):
    degrade(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(OutputRefused, match=f"{name} was"):
        degrade(source, tmp_path / "out", **change)
    assert tree(tmp_path / "out") == before


def test_another_subsampling_has_a_folder_and_a_kind_of_its_own(source, tmp_path):
    degrade(source, tmp_path / "out")
    before = results(tmp_path / "out")
    degrade(source, tmp_path / "out", degradations((Compression("jpeg", 10, "4:4:4"),), 1, False))
    after = results(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert_manifest_is_right(source, tmp_path / "out", "jpeg-10-444")
    assert {row["codec"] for row in manifest(tmp_path / "out", "jpeg-10-444")} == {"jpeg 4:4:4"}


@pytest.mark.parametrize("inside", [".", "holiday", "new/folder"])
def test_a_destination_inside_the_source_is_refused(source, inside):
    before = tree(source)
    with pytest.raises(OutputRefused, match="overlap"):
        degrade(source, source / inside)
    assert tree(source) == before


def test_a_source_inside_the_copies_is_refused(source, tmp_path):
    for place in ("jpeg-10", "jpeg-10/inner"):
        moved = tmp_path / "out" / place
        moved.parent.mkdir(parents=True, exist_ok=True)
        source.rename(moved)
        before = tree(moved)
        with pytest.raises(OutputRefused, match="overlap"):
            degrade(moved, tmp_path / "out")
        assert tree(moved) == before
        moved.rename(source)


def test_copies_that_are_a_link_to_the_source_are_refused(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "jpeg-10").symlink_to(source)
    before = tree(source)
    with pytest.raises(OutputRefused):
        degrade(source, tmp_path / "out")
    assert tree(source) == before


@pytest.mark.parametrize("taken", ["jpeg-10/precious.jpg", "jpeg-10.csv", "jpeg-10.csv.json"])
def test_what_is_not_ours_is_refused_and_stays(source, tmp_path, taken):
    path = tmp_path / "out" / taken
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(OutputRefused):
        degrade(source, tmp_path / "out")
    assert tree(tmp_path / "out") == {taken: b"precious"}


def test_the_source_may_lie_beside_the_copies(source, tmp_path):
    degrade(source, tmp_path)
    assert_manifest_is_right(source, tmp_path)


def test_one_photo_can_be_degraded(source, tmp_path):
    degrade(source / "a.png", tmp_path / "out")
    assert [(row["source"], row["path"]) for row in manifest(tmp_path / "out")] == [("a.png", "jpeg-10/a.png.jpg.jpg")]


def test_no_photos_are_refused_before_anything_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongUse, match="no image"):
        degrade(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_bad_files_get_error_rows_and_exit_code_1(source, tmp_path, monkeypatch, capfd):
    (source / "b-truncated.jpg").write_bytes((source / "a.jpg").read_bytes()[:-300])
    (source / "c-empty.jpg").touch()
    (source / "d-broken.jpg").symlink_to("nowhere")
    command = ("degrade", source, tmp_path / "out", "--qf", "10", "--qf", "25", "--workers", "1")
    assert afd(monkeypatch, *command) == 1
    first = results(tmp_path / "out")
    for name in ("jpeg-10", "jpeg-25"):
        bad = [row for row in manifest(tmp_path / "out", name) if row["status"] == "error"]
        assert [row["source"] for row in bad] == ["b-truncated.jpg", "c-empty.jpg", "d-broken.jpg"]
        assert all(row["error"] and not row["path"] and not row["sha256"] for row in bad)
        assert len(files(tmp_path / "out" / name)) == len(NAMES)
    assert "3 of 10 photos could not be used" in capfd.readouterr().err
    assert afd(monkeypatch, *command, "--quiet") == 1
    assert results(tmp_path / "out") == first


def test_a_photo_that_lost_its_end_is_copied_and_its_row_says_so_if_it_is_asked_for(source, tmp_path):
    (source / "b-truncated.jpg").write_bytes((source / "a.jpg").read_bytes()[:-300])
    for _ in range(2):
        degrade(source, tmp_path / "out", read=ReadOptions(truncated="read"))
        rows = {row["source"]: row for row in manifest(tmp_path / "out")}
        assert (rows["b-truncated.jpg"]["status"], rows["b-truncated.jpg"]["complete"]) == ("ok", "false")
        assert (rows["a.jpg"]["status"], rows["a.jpg"]["complete"]) == ("ok", "true")


def test_a_source_that_became_unreadable_gets_an_error_row(source, tmp_path):
    degrade(source, tmp_path / "out")
    (source / "a.jpg").write_bytes(b"no photo any more")
    degrade(source, tmp_path / "out")
    row = manifest(tmp_path / "out")[0]
    assert (row["source"], row["status"], row["path"]) == ("a.jpg", "error", "")
    assert [row["source"] for row in manifest(tmp_path / "out")] == NAMES


def test_names_that_are_no_utf_8_are_copied(tmp_path):
    (tmp_path / "source").mkdir()
    name = os.fsdecode(b"caf\xe9 \xff.jpg")
    try:
        picture(0).save(tmp_path / "source" / name)
    except (OSError, UnicodeError):
        pytest.skip("no such names on this system")
    degrade(tmp_path / "source", tmp_path / "out")
    assert (tmp_path / "out/jpeg-10" / name).is_file()
    assert manifest(tmp_path / "out")[0]["source"] == r"caf\xe9 \xff.jpg"
    assert all(copies[0].known for _, copies in degrade(tmp_path / "source", tmp_path / "out"))


def test_a_name_too_long_for_a_copy_is_an_error_of_its_row(source, tmp_path):
    picture(1).save(source / ("n" * 250 + ".png"))
    degrade(source, tmp_path / "out")
    bad = [row for row in manifest(tmp_path / "out") if row["status"] == "error"]
    assert len(bad) == 1
    assert "too long" in bad[0]["error"]


def test_manifest_and_record_have_what_makes_the_copies_again(source, tmp_path):
    degrade(source, tmp_path / "out", levels(10, 25, passes=2), seed=5)
    found = json.loads((tmp_path / "out" / "jpeg-10-passes-2.csv.json").read_text())
    assert found["program"] == "afd degrade"
    assert found["complete"] is True
    assert found["settings"]["seed"] == 5
    assert "libjpeg" in found["settings"]["encoder"]
    assert list(manifest(tmp_path / "out", "jpeg-10-passes-2")[0]) == list(COLUMNS)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_is_stopped_leaves_nothing_half_written_and_can_be_gone_on_with(source, tmp_path, workers):
    options = DegradeOptions(source, tmp_path / "out", levels(10), workers=workers)
    copies = Degrading(options).copies()
    next(copies)
    copies.close()
    assert not list((tmp_path / "out").rglob(".partial"))
    assert len(manifest(tmp_path / "out")) == 1
    degrade(source, tmp_path / "out")
    degrade(source, tmp_path / "whole")
    assert results(tmp_path / "out") == results(tmp_path / "whole")


# Names that would lead out of the destination


def listed(monkeypatch, names, separator=b"\n"):
    """Have `names` on standard input."""
    data = io.BytesIO(separator.join(os.fsencode(name) for name in names))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))


@pytest.mark.parametrize("how", ["pattern", "list", "relative list", "one of two patterns", "URI", "file"])
def test_originals_stay_however_they_are_named(source, tmp_path, monkeypatch, how):
    before = tree(source), times(source)
    paths = [str(path) for path in sorted(files(source))]
    monkeypatch.chdir(source / "holiday")
    if how == "list":
        listed(monkeypatch, paths)
    elif how == "relative list":
        listed(monkeypatch, [os.path.relpath(path) for path in paths if path != f"{source}/a.jpg"], b"\0")
    given = {
        "pattern": f"{source}/*.jpg",
        "one of two patterns": f"{source}/[az]*",
        "URI": source.as_uri(),
        "file": str(source / "a.jpg"),
    }
    done = degrade(given.get(how, "-"), tmp_path / "out")
    assert (tree(source), times(source)) == before
    assert len(done) == len(manifest(tmp_path / "out")) > 0
    for row in manifest(tmp_path / "out"):
        assert row["status"] == "ok"
        assert (tmp_path / "out" / row["path"]).resolve().is_relative_to(tmp_path / "out" / "jpeg-10")
        assert (tmp_path / "out" / row["path"]).read_bytes()[:3] == b"\xff\xd8\xff"


PARTS = st.one_of(
    st.sampled_from(
        ["..", ".", "", ".partial", "photos", "up", "~", "C:", "C:\\x", "..\\..", "s3:", "file:", "a.jpg", "b"]
    ),
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=9),
    st.binary(max_size=4).map(os.fsdecode).filter(lambda text: "/" not in text),
    st.sampled_from(["x" * 250, "x" * 255, "\u00e9" * 127, "a\nb", "b: the beach?", "con", "trailing. ", "\0"]),
)
NAMES_THAT_LEAD = st.builds(
    lambda begin, parts, end: begin + "/".join(parts) + end,
    st.sampled_from(
        ["", "", "/", "//", "{photos}/", "{photos}/../", "file://", "file:///", "./", "../", "{photos}/up/"]
    ),
    st.lists(PARTS, max_size=5),
    st.sampled_from(["", ".jpg", ".png", "/a.jpg", "/../a.jpg", "/up/photos/a.jpg"]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES_THAT_LEAD, min_size=1, max_size=6), st.sampled_from(["list", "pattern", "folder"]), st.booleans())
@example(["{photos}/a.jpg", "{photos}/up/photos/a.jpg", "../photos/a.jpg", "a.jpg", "/a.jpg"], "list", True)
def test_no_name_changes_a_byte_of_the_sources(names, how, linked):
    """Names are tried as they are, and so that there is a photo under them, wherever they lead inside `photos`."""
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        photos, out = Path(root, "photos"), Path(root, "out")
        photos.mkdir()
        small = io.BytesIO()
        Image.new("RGB", (9, 7), "red").save(small, "PNG")
        (photos / "a.jpg").write_bytes(small.getvalue())
        if how != "folder":
            (photos / "up").symlink_to("..")
        patch.chdir(photos)
        names = [name.replace("{photos}", str(photos)) for name in names]
        names = [part for name in names for part in name.split("\0") if part]  # as a list is read
        # Folders would be searched, and some of them are the whole disk.
        names = [f"{name}/a.jpg" if os.path.isdir(name) or "file:" in name else name for name in names]
        for name in names:
            inside = os.path.normpath(os.path.join(photos, name.lstrip("/")))
            if inside.startswith(f"{photos}/") and "\0" not in name:
                try:
                    os.makedirs(os.path.dirname(inside), exist_ok=True)
                    Path(inside).write_bytes(small.getvalue())
                except (OSError, ValueError):  # no file can be called so
                    continue
        if linked:  # a destination with a way out of it, to the photos
            degrade(photos / "a.jpg", out)
            (out / "jpeg-10" / "b").symlink_to(photos)
            (out / "jpeg-10" / "photos").symlink_to(photos)
            (out / "jpeg-10.csv.json").write_text((out / "jpeg-10.csv.json").read_text().replace('"sources"', '"old"'))
        before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(photos)}
        beside = {*Path(root).iterdir(), out}
        listed(patch, names, b"\0")
        with suppress(WrongUse, OutputRefused):
            degrade({"list": "-", "pattern": f"{photos}/*", "folder": photos}[how], out)
        assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(photos)} == before
        assert {*Path(root).iterdir(), out} == beside
        if (out / "jpeg-10.csv").exists():
            assert_copies_are_those_of_the_manifest(out)


def assert_copies_are_those_of_the_manifest(out):
    """Each has a place of its own, and is what its row says."""
    good = [row for row in manifest(out) if row["status"] == "ok"]
    assert len({row["path"] for row in good}) == len(good)
    found = {hashlib.sha256(path.read_bytes()).hexdigest() for path in files(out / "jpeg-10")}
    assert {row["sha256"] for row in good} <= found


@pytest.mark.parametrize(
    ("first", "second"), [("x/a.jpg", "/x/a.jpg"), ("../a.jpg", "../../a.jpg"), ("x/a.png", "/x/a.png.jpg")]
)
def test_no_two_photos_get_the_same_copy(tmp_path, monkeypatch, first, second):
    """The same place is the first one's; the row of the other says so."""
    here = tmp_path / "one" / "two"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setattr("afdcli.photos.sources.Sources._search", lambda *_: iter(found))
    found = []
    for number, name in enumerate((first, second)):
        path = tmp_path / f"{number}.png"
        picture(number).save(path)
        found.append(Source(str(path), name))
    for _ in range(2):
        degrade(tmp_path, tmp_path.with_name(tmp_path.name + "-out"))
        good, bad = manifest(tmp_path.with_name(tmp_path.name + "-out"))
        assert (good["status"], bad["status"]) == ("ok", "error")
        assert f"that of '{first}'" in bad["error"]


@pytest.mark.parametrize("link", ["the folder", "a folder in it", "a file in it", "a bind of its parent"])
def test_links_in_the_destination_lead_nowhere(source, tmp_path, link):
    out = tmp_path / "out"
    degrade(source, out)
    before = tree(source)
    level = out / "jpeg-10"
    if link == "the folder":
        level.rename(out / "aside")
        level.symlink_to(source)
    elif link == "a folder in it":
        (level / "holiday").rename(out / "aside")
        (level / "holiday").symlink_to(source / "holiday")
    elif link == "a file in it":
        (level / "a.jpg").unlink()
        (level / "a.jpg").symlink_to(source / "a.jpg")
    else:
        out.rename(tmp_path / "aside")
        out.mkdir()
        (out / "jpeg-10").symlink_to(source.parent)
        (out / "jpeg-10.csv.json").write_text('{"program": "afd degrade", "settings": {}, "complete": true}')
    try:
        degrade(source, out)
    except OutputRefused as error:
        assert link in ("the folder", "a bind of its parent") and "overlap" in str(error)
    else:
        bad = [row["source"] for row in manifest(out) if row["status"] == "error"]
        assert bad == ([name for name in NAMES if "holiday" in name] if link == "a folder in it" else [])
    assert tree(source) == before


@pytest.mark.parametrize("kind", ["a file", "a folder", "a link to a photo", "a link to nothing"])
def test_what_lies_in_the_place_of_a_new_copy_and_is_not_ours_stays(source, tmp_path, kind):
    out = tmp_path / "out"
    degrade(source, out)
    place = out / "jpeg-10" / "new.jpg"
    if kind == "a file":
        place.write_text("precious")
    elif kind == "a folder":
        place.mkdir()
    else:
        place.symlink_to(source / "a.jpg" if "photo" in kind else tmp_path / "nowhere")
    picture(9).save(source / "new.jpg")
    before = tree(source)
    degrade(source, out)
    (bad,) = [row for row in manifest(out) if row["status"] == "error"]
    assert bad["source"] == "new.jpg" and "afd degrade did not write it" in bad["error"]
    assert tree(source) == before
    assert {"a file": place.is_file(), "a folder": place.is_dir()}.get(kind, place.is_symlink())
    assert kind != "a file" or place.read_text() == "precious"


def test_a_copy_that_a_killed_run_wrote_without_its_row_is_ours(source, tmp_path):
    out = tmp_path / "out"
    degrade(source, out)
    lines = (out / "jpeg-10.csv").read_bytes().splitlines(keepends=True)
    (out / "jpeg-10.csv").write_bytes(b"".join(lines[:2]))
    degrade(source, out)
    assert {row["status"] for row in manifest(out)} == {"ok"}


def test_a_folder_of_copies_that_became_a_link_is_not_written_to(source, tmp_path):
    out, others = tmp_path / "out", tmp_path / "others"
    degrade(source, out)
    others.mkdir()
    (others / "a.jpg").write_text("precious")
    (out / "jpeg-10").rename(tmp_path / "aside")
    (out / "jpeg-10").symlink_to(others)
    with pytest.raises(OutputRefused, match="is a link"):
        degrade(source, out)
    assert tree(others) == {"a.jpg": b"precious"}


@pytest.mark.parametrize("how", ["list", "pattern", "link", "URI"])
def test_copies_are_no_sources_of_their_own_folder(source, tmp_path, monkeypatch, how):
    out = tmp_path / "out"
    degrade(source, out)
    before = tree(tmp_path)
    listed(monkeypatch, [str(path) for path in files(out / "jpeg-10")])
    if how == "link":
        (source / "copies").symlink_to(out)
    given = {"list": "-", "pattern": f"{out}/*/*.jpg", "link": source, "URI": (out / "jpeg-10").as_uri()}
    with pytest.raises(OutputRefused, match="overlap"):
        degrade(given[how], out)
    assert {name: data for name, data in tree(tmp_path).items() if "source" not in name} == {
        name: data for name, data in before.items() if "source" not in name
    }


def test_a_link_to_where_the_copies_go_is_not_followed_for_ever(source, tmp_path):
    (tmp_path / "out").mkdir()
    (source / "z-link").symlink_to(tmp_path / "out")
    run = Degrading(DegradeOptions(source, tmp_path / "out", levels(10), workers=0))
    done = {one.name: copies[0].row["error"] for one, copies in run.copies()}
    assert {name for name, error in done.items() if not error} == set(NAMES)
    assert len(files(tmp_path / "out" / "jpeg-10")) == len(NAMES)


# What the destination refuses


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG, errno.ENOENT, errno.EACCES])
def test_a_name_that_the_destination_refuses_is_an_error_of_its_row(source, tmp_path, monkeypatch, number):
    picture(9).save(source / "b: the beach?.jpg")
    picture(9).save(source / "c.jpg")
    really = os.replace

    def replace(before, after):
        if set(os.fspath(after)) & set(':?*"<>|'):
            raise OSError(number, os.strerror(number))
        really(before, after)

    monkeypatch.setattr(os, "replace", replace)
    done = degrade(source, tmp_path / "out", levels(10, 25))
    assert len(done) == len(NAMES) + 2
    for name in ("jpeg-10", "jpeg-25"):
        bad = [row for row in manifest(tmp_path / "out", name) if row["status"] == "error"]
        assert [row["source"] for row in bad] == ["b: the beach?.jpg"]
        assert f"does not take the name 'b: the beach?.jpg': {os.strerror(number)}" in bad[0]["error"]
        assert (tmp_path / "out" / name / "c.jpg").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_destination_that_takes_nothing_ends_the_run(source, tmp_path, monkeypatch, number):
    def replace(before, after):
        raise OSError(number, os.strerror(number))

    run = Degrading(DegradeOptions(source, tmp_path / "out", levels(10), workers=0))
    copies = run.copies()
    next(copies)
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputRefused, match=os.strerror(number)):
        next(copies)


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 2])
def test_a_side_too_long_for_one_codec_is_a_row_of_that_one(source, tmp_path, passes):
    Image.new("RGB", (40_000, 9)).save(source / "b.png")
    wanted = levels(20, codec="avif", passes=passes) + levels(10)
    done = {one.name: copies for one, copies in degrade(source, tmp_path / "out", wanted)}
    avif, jpeg = done["b.png"]
    assert (avif.row["status"], jpeg.row["status"]) == ("error", "ok")
    assert avif.row["error"] == "AVIF cannot hold a side of 40,000 pixels, only 32,768"
    assert all(copy.row["status"] == "ok" for name, copies in done.items() if name != "b.png" for copy in copies)


def test_whatever_an_encoder_raises_is_a_row(source, tmp_path, monkeypatch):
    really = Image.Image.save

    def save(image, *args, **options):
        if image.size == (9, 9):
            raise SystemError("tile cannot extend outside image")
        if image.size == (9, 8):
            raise MemoryError
        really(image, *args, **options)

    for side in (8, 9):
        Image.new("RGB", (9, side)).save(source / f"b{side}.png")
    monkeypatch.setattr(Image.Image, "save", save)
    degrade(source, tmp_path / "out")
    bad = {row["source"]: row["error"] for row in manifest(tmp_path / "out") if row["status"] == "error"}
    assert bad == {
        "b8.png": "cannot be saved as JPEG at 9 x 8 pixels: not enough memory",
        "b9.png": "cannot be saved as JPEG at 9 x 9 pixels: tile cannot extend outside image",
    }


# The copies of other photos


@pytest.fixture
def other(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    picture(7).save(folder / "a.jpg")
    return folder


@pytest.mark.parametrize("how", ["folder", "file", "pattern", "list", "half done"])
def test_copies_of_other_photos_are_only_replaced_if_asked(source, other, tmp_path, monkeypatch, how):
    out = tmp_path / "out"
    if how == "half done":
        run = Degrading(DegradeOptions(source, out, levels(10), workers=0)).copies()
        next(run)
        run.close()
    else:
        degrade(source, out)
    before = tree(out)
    listed(monkeypatch, [str(other / "a.jpg")])
    given = {"file": other / "a.jpg", "pattern": f"{other}/*.jpg", "list": "-"}.get(how, other)
    with pytest.raises(OutputRefused, match="--overwrite"):
        degrade(given, out)
    assert tree(out) == before
    listed(monkeypatch, [str(other / "a.jpg")])
    degrade(given, out, overwrite=True)
    assert len(manifest(out)) == 1
    assert (out / manifest(out)[0]["path"]).read_bytes() == plain_save(Image.open(other / "a.jpg").convert("RGB"))


def test_other_settings_replace_what_is_there_if_asked(source, tmp_path):
    degrade(source, tmp_path / "out")
    degrade(source, tmp_path / "out", size=48, overwrite=True)
    assert {row["width"] for row in manifest(tmp_path / "out")} == {"48"}


def test_the_same_photos_are_known_however_they_are_spelled(source, tmp_path, monkeypatch):
    degrade(source, tmp_path / "out")
    (tmp_path / "link").symlink_to(source)
    monkeypatch.chdir(tmp_path)
    for spelled in ("source", f"{source}/", Path("source/holiday/.."), "link"):
        assert all(copies[0].known for _, copies in degrade(spelled, tmp_path / "out"))


def test_a_record_without_sources_is_gone_on_with(source, tmp_path):
    """As earlier versions wrote it."""
    degrade(source, tmp_path / "out")
    path = tmp_path / "out" / "jpeg-10.csv.json"
    record = json.loads(path.read_text())
    assert record.pop("sources") == [str(source)]
    del record["checksum"]
    path.write_text(json.dumps(record))
    assert all(copies[0].known for _, copies in degrade(source, tmp_path / "out"))


@pytest.mark.parametrize("named", ["a pattern", "one photo", "a link to its folder"])
def test_the_folder_of_the_photos_is_no_destination(tmp_path, named):
    """However they are named; a new folder in it is one."""
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(1).save(photos / "a.png")
    (tmp_path / "link").symlink_to(photos)
    given = {
        "a pattern": f"{photos}/*.png",
        "one photo": f"{photos}/a.png",
        "a link to its folder": f"{tmp_path}/link/*.png",
    }
    before = tree(photos)
    with pytest.raises(OutputRefused, match=r"has '.*a\.png' in it"):
        degrade(given[named], photos)
    assert tree(photos) == before
    degrade(given[named], photos / "copies")
    assert (photos / "a.png").read_bytes() == before["a.png"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_in_no_manifest_stays_whatever_is_asked(source, tmp_path, overwrite):
    """A file of somebody's, in the place of a copy that is only made now."""
    out = tmp_path / "out"
    degrade(source, out)
    (out / "jpeg-10" / "new.jpg").write_bytes(b"somebody's own")
    picture(5).save(source / "new.jpg")
    degrade(source, out, size=48 if overwrite else None, overwrite=overwrite)
    assert (out / "jpeg-10" / "new.jpg").read_bytes() == b"somebody's own"
    rows = {row["source"]: row for row in manifest(out)}
    assert rows["new.jpg"]["status"] == "error" and "is there already" in rows["new.jpg"]["error"]
    assert rows["a.jpg"]["status"] == "ok" and (rows["a.jpg"]["width"] == "48") == overwrite
