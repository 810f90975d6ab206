import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from afdcli.commands.gallery import Gallery
from afdcli.errors import AfdError, OutputRefused, WrongUse
from afdcli.options import GalleryOptions


@pytest.fixture
def options(tmp_path, photos, monkeypatch):
    """A result for the photos, one of which could not be read."""
    (photos / "cats" / "broken.jpg").write_bytes(b"no photo")
    monkeypatch.chdir(tmp_path)
    Image.open(photos / "a.jpg").save(photos / "e.tif")
    write(tmp_path / "rows.csv", photos, {})
    return GalleryOptions(tmp_path / "rows.csv", photos=(str(photos),), workers=0)


def write(path, photos, labels):
    lines = ["path,status,error,format,label_1,index_1,prob_1"]
    for photo in sorted(photos.rglob("*.*")):
        name = photo.relative_to(photos).as_posix()
        kind = {"tif": "TIFF", "webp": "WEBP", "avif": "AVIF", "png": "PNG"}.get(photo.suffix[1:], "JPEG")
        bad = name == "cats/broken.jpg"
        lines.append(f"{name},error,not an image,,,," if bad else f"{name},ok,,{kind},{labels.get(name, 'cat')},0,0.9")
    path.write_text("\n".join(lines) + "\n")


def make(options):
    run = Gallery(options)
    failures = dict(run.pictures())
    run.write()
    text = run.page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["photos"], failures


def test_every_row_is_on_the_page_and_its_pictures_are_there(options, photos):
    entries, failures = make(options)
    assert [one["name"] for one in entries] == sorted(
        path.relative_to(photos).as_posix() for path in photos.rglob("*.*")
    )
    assert len(failures) == 7 and not any(failures.values())
    for one in entries:
        if "error" in one:
            assert one["error"] == "not an image" and one["thumb"] == ""
            continue
        with Image.open(options.folder / one["thumb"]) as picture, Image.open(options.folder / one["large"]) as large:
            with Image.open(photos / one["name"]) as original:
                assert abs(picture.width / picture.height - original.width / original.height) < 0.05
            assert picture.format == "WEBP" and large.format in ("JPEG", "PNG", "WEBP", "AVIF")


def test_it_is_made_once_and_a_photo_that_was_replaced_anew(options, photos):
    first, _ = make(options)
    stamps = {path: path.stat().st_mtime_ns for path in (options.folder / "thumbs").iterdir()}
    Image.new("RGB", (30, 20), "red").save(photos / "b.png")
    second, _ = make(replace(options, resume=True))
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    changed = [one["name"] for one, two in zip(first, second, strict=True) if one["thumb"] != two["thumb"]]
    assert changed == ["b.png"]
    with pytest.raises(AfdError, match="rows-gallery"):
        Gallery(options)


def test_compared_are_those_of_another_class(options, photos, tmp_path):
    write(tmp_path / "other.csv", photos, {"b.png": "dog"})
    entries, _ = make(replace(options, compare=tmp_path / "other.csv"))
    assert [(one["name"], one["classes"], one["other"]) for one in entries] == [
        ("b.png", [["cat", 0.9]], [["dog", 0.9]])
    ]


def test_a_photo_that_is_gone_has_no_picture(options, photos):
    (photos / "a.jpg").unlink()
    entries, _ = make(options)
    assert entries[0]["name"] == "a.jpg" and entries[0]["thumb"] == "" and "path" not in entries[0]


def test_a_folder_of_others_and_photos_elsewhere_are_refused(options, tmp_path):
    options.folder.mkdir()
    (options.folder / "letter.txt").write_text("precious")
    with pytest.raises(OutputRefused, match="has other files"):
        Gallery(options)
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "empty" / "x.png")
    with pytest.raises(WrongUse, match="--photos"):
        Gallery(replace(options, photos=(str(tmp_path / "empty"),), output=tmp_path / "new"))
