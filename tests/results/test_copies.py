"""Where copies lie, whatever their photos are called; and how they are found again."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from afdcli.commands.degrade import Degrading
from afdcli.errors import UnreadableImage
from afdcli.options import Compression, Degradation, DegradeOptions, degradations
from afdcli.photos.preprocessing import Preprocessing
from afdcli.photos.sources import Source
from afdcli.results.copies import Places, folds_names, place, read_copies, relative, write

JPEG_10 = Compression("jpeg", 10)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("holiday/a.jpg", "holiday/a.jpg"),
        ("/abs/photos/a.jpg", "abs/photos/a.jpg"),
        ("//server/a.jpg", "server/a.jpg"),
        ("../../a.jpg", "a.jpg"),
        ("x/../../a.jpg", "a.jpg"),
        ("./x//./a.jpg", "x/a.jpg"),
        ("file:///abs/a.jpg", "abs/a.jpg"),
        ("file:/abs/a.jpg", "abs/a.jpg"),
        ("s3://bucket/../../a.jpg", "a.jpg"),
        ("https://example.org/a b?.jpg", "example.org/a b?.jpg"),
        ("C:\\a.jpg", "C:\\a.jpg"),
        ("caf\udce9\n.jpg", "caf\udce9\n.jpg"),
    ],
)
def test_names_become_places_inside(name, expected):
    assert relative(name, windows=False) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("C:\\photos\\a.jpg", "photos/a.jpg"),
        ("C:a.jpg", "a.jpg"),
        ("C:/photos/a.jpg", "photos/a.jpg"),
        ("..\\..\\a.jpg", "a.jpg"),
        ("x\\..\\..\\a.jpg", "a.jpg"),
        ("\\\\server\\share\\x\\a.jpg", "x/a.jpg"),
        ("\\\\?\\C:\\x\\a.jpg", "x/a.jpg"),
    ],
)
def test_names_become_places_inside_on_windows(name, expected):
    assert relative(name, windows=True) == expected


@pytest.mark.parametrize("name", ["", "/", "..", "file:///", "x/..", "a\0.jpg", ".partial/a.jpg", "/.Partial/1"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(UnreadableImage):
        relative(name, windows=False)


@pytest.mark.parametrize("name", ["a?.jpg", "a.jpg:stream", "con", "x/NUL.jpg", "x./a.jpg", "x /a.jpg", ".. /a.jpg"])
def test_names_that_windows_takes_for_others_are_refused_there(name):
    with pytest.raises(UnreadableImage, match="Windows does not take"):
        relative(name, windows=True)
    assert relative(name, windows=False)


@given(st.text(st.sampled_from("./\\:aC\0é ~"), max_size=12) | st.text(max_size=20), st.booleans())
def test_no_name_leads_out(name, windows):
    try:
        path = relative(name, windows=windows)
    except UnreadableImage:
        return
    assert os.path.normpath(os.path.join("/out", path)).startswith("/out/")
    assert ".." not in path.split("/")
    if windows:
        assert not set(':\\"<>|?*') & set(path)


def test_links_that_lead_out_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    (tmp_path / "out" / "round").symlink_to("round")
    assert place(str(tmp_path / "out"), "x/a.jpg") == str(tmp_path / "out" / "x" / "a.jpg")
    for name in ("link/a.jpg", "link/x/a.jpg", "../a.jpg", "/a.jpg"):
        with pytest.raises(UnreadableImage, match="outside"):
            place(str(tmp_path / "out"), name)
    (tmp_path / "out" / ".partial").mkdir()
    with pytest.raises(UnreadableImage):
        write(str(tmp_path / "out"), "round/a.jpg", b"")


def test_a_link_in_the_place_of_a_copy_is_replaced(tmp_path):
    (tmp_path / "out" / ".partial").mkdir(parents=True)
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    (tmp_path / "out" / "a.jpg").symlink_to(tmp_path / "photo.jpg")
    os.link(tmp_path / "photo.jpg", tmp_path / "out" / "b.jpg")
    for name in ("a.jpg", "b.jpg"):
        write(str(tmp_path / "out"), name, b"copy")
        assert (tmp_path / "out" / name).read_bytes() == b"copy"
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"


@pytest.mark.parametrize("other", ["A.jpg", "a.jpg.", "a.JPG "])
def test_places_are_given_once(other):
    for folds in (False, True):
        places = Places(folds)
        assert places.claim("a.jpg", "first \udce9") is None
        assert places.claim("a.jpg", "second") == "first \udce9"
        assert (places.claim(other, "third") is None) != folds


def test_whether_names_fold_is_seen(tmp_path):
    assert folds_names(tmp_path) == (tmp_path / "CAF\u00c9.").exists()


# Copies found again


@pytest.fixture
def photos(tmp_path, photo):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in (b"a.jpg", b"b.png", b"caf\xe9.jpg"):
        photo.save(os.fsdecode(os.fsencode(folder) + b"/" + name))
    return folder


def made(photos, tmp_path, *wanted):
    for one in wanted:
        list(Degrading(DegradeOptions(photos, tmp_path / "out", (one,), workers=0)).copies())
    names = sorted(os.listdir(photos))
    levels, copies = read_copies(tmp_path / "out", [Source(str(photos / name), name) for name in names], SIZE)
    return levels, dict(zip(names, copies, strict=True))


SIZE = Preprocessing(224)


def test_copies_are_found_whatever_their_names_are_encoded_in(photos, tmp_path):
    _, copies = made(photos, tmp_path, Degradation(((JPEG_10,),)))
    assert len(copies) == 3
    for name, (copy,) in copies.items():
        assert copy.read((photos / name).read_bytes())[:3] == b"\xff\xd8\xff"


def test_a_photo_without_a_copy_is_called_that(photos, tmp_path, photo):
    made(photos, tmp_path, Degradation(((JPEG_10,),)))
    (tmp_path / "out" / "jpeg-10" / "a.jpg").unlink()
    photo.save(photos / "new.jpg")
    _, copies = read_copies(
        tmp_path / "out", [Source(str(photos / name), name) for name in ("a.jpg", "new.jpg", "/new.jpg")], SIZE
    )
    for (copy,) in copies:
        with pytest.raises(UnreadableImage, match=r"^no copy in jpeg-10; run afd degrade again$"):
            copy.read(b"")


def test_what_could_not_be_copied_says_why(photos, tmp_path):
    (photos / "bad.jpg").write_bytes(b"no photo")
    _, copies = made(photos, tmp_path, Degradation(((JPEG_10,),)))
    with pytest.raises(UnreadableImage, match=r"^no copy in jpeg-10 \(not an image.*\); run afd degrade again$"):
        copies["bad.jpg"][0].read(b"no photo")


def test_stale_and_altered_copies_are_told(photos, tmp_path):
    _, copies = made(photos, tmp_path, Degradation(((JPEG_10,),)))
    source, copy = (photos / "a.jpg").read_bytes(), copies["a.jpg"][0]
    with pytest.raises(UnreadableImage, match="the photo has changed since its copy in jpeg-10 was made"):
        copy.read(source + b"x")
    Path(copy.path).write_bytes(Path(copy.path).read_bytes() + b"x")
    with pytest.raises(UnreadableImage, match="its copy in jpeg-10 has been altered"):
        copy.read(source)


def test_a_row_that_was_cut_short_is_no_copy(photos, tmp_path):
    made(photos, tmp_path, Degradation(((JPEG_10,),)))
    path = tmp_path / "out" / "jpeg-10.csv"
    path.write_bytes(path.read_bytes()[:-20])
    _, copies = read_copies(tmp_path / "out", [Source("", r"caf\xe9.jpg")], SIZE)
    with pytest.raises(UnreadableImage, match="no copy"):
        copies[0][0].read(b"")


def test_levels_come_by_quality_the_best_first(photos, tmp_path):
    levels, _ = made(
        photos, tmp_path, *degradations(tuple(Compression("jpeg", quality) for quality in (7, 10, 25, 100)), 1, False)
    )
    assert [level.quality for level in levels] == [100, 25, 10, 7]


@pytest.mark.slow
def test_no_two_ways_of_damage_look_the_same(photos, tmp_path):
    two = (JPEG_10, Compression("jpeg", 25))
    drawn = degradations(two, 2, False)[0]
    every = [
        Degradation(((JPEG_10,),)),
        Degradation(((Compression("jpeg", 10, "4:4:4"),),)),
        Degradation(((Compression("jpeg", 10, "4:2:2"),),)),
        drawn,
        replace(drawn, shift=True),
        Degradation(((two[1],), (JPEG_10,))),
        Degradation(((two[1],), (JPEG_10,)), shift=True),
        Degradation(((JPEG_10,), (JPEG_10,))),
    ]
    assert len({one.name for one in every}) == len(every)
    levels, _ = made(photos, tmp_path, *every)
    assert len(set(levels)) == len(every)
    assert {level.codec for level in levels} >= {"jpeg", "jpeg 4:4:4", "jpeg 25-10", "jpeg 25-10 shift", "jpeg shift"}
    with (tmp_path / "out" / "jpeg-10-444.csv").open(newline="", encoding="utf-8") as file:
        assert {row["codec"] for row in csv.DictReader(file)} == {"jpeg 4:4:4"}


def test_imagenet_cs_photos_stay_in_their_folder(tmp_path):
    """An absolute name must not find the original instead."""
    (tmp_path / "fog" / "1").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "fog" / "1" / "a.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "b.png")
    sources = [Source("", "a.png"), Source("", str(tmp_path / "b.png"))]
    _, ((first,), (second,)) = read_copies(tmp_path / "fog", sources, SIZE)
    assert first.read(b"")
    with pytest.raises(UnreadableImage, match=r"^no copy in fog/1$"):
        second.read(b"")
