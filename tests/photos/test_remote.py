"""Photos by URI, in a store that is in memory, and one that several processes see."""

import csv
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from afdcli.commands.classify import Classification
from afdcli.commands.degrade import Degrading
from afdcli.commands.evaluate import Evaluation
from afdcli.errors import UnreadableImage, WrongUse
from afdcli.options import (
    ClassifyOptions,
    Compression,
    Degradation,
    DegradeOptions,
    EvaluateOptions,
    ModelOptions,
    ReadOptions,
)
from afdcli.photos import remote
from afdcli.photos.reading import read_file, read_rgb
from afdcli.photos.sources import Sources


@pytest.fixture
def store():
    """A bucket with files that are photos by name."""
    system = fsspec.filesystem("memory")
    for name in ("b.jpg", "a/c.PNG", "a/deep/d.webp", "a/.hidden.jpg", ".trash/e.jpg", "notes.txt", "z[1].jpg"):
        system.pipe(f"/bucket/{name}", name.encode())
    system.pipe("/bucket/empty.jpg", b"")
    yield system
    system.rm("/bucket", recursive=True)


def found(*inputs):
    return [(source.name, source.error) for source in Sources(inputs)]


def test_a_store_is_searched_as_a_folder_is(store):
    names = ["a/c.PNG", "a/deep/d.webp", "b.jpg", "empty.jpg", "z[1].jpg"]
    assert found("memory://bucket") == found("memory://bucket/") == [(name, "") for name in names]
    several = found("memory://bucket/a", "memory://bucket/b.jpg")
    assert [name for name, _ in several] == [
        f"memory://bucket/{name}" for name in ("a/c.PNG", "a/deep/d.webp", "b.jpg")
    ]


def test_a_single_file_counts_whatever_it_is_called(store):
    assert found("memory://bucket/b.jpg") == [("memory://bucket/b.jpg", "")]
    assert found("memory://bucket/notes.txt") == [("memory://bucket/notes.txt", "")]


def test_patterns_match_in_order_of_name(store):
    assert [name.rpartition("/")[2] for name, _ in found("memory://bucket/*.jpg")] == ["b.jpg", "empty.jpg", "z[1].jpg"]
    assert found("memory://bucket/z[1].jpg") == [("memory://bucket/z[1].jpg", "")], "a name before it is a pattern"
    with pytest.raises(WrongUse, match="There is nothing at"):
        found("memory://bucket/*.tiff")


def test_what_exists_is_no_pattern(store):
    store.pipe("/bucket/trip [2019]/p[1].jpg", b"x")
    store.pipe("/bucket/trip 2/p1.jpg", b"x")
    for pattern, name in {
        "trip [2019]/*.jpg": "trip [2019]/p[1].jpg",
        "trip [2019]/p[1].*": "trip [2019]/p[1].jpg",
        "*/p[1].j*": "trip [2019]/p[1].jpg",
        "trip [2]/*.jpg": "trip 2/p1.jpg",
        "trip*/p[0-9].jpg": "trip 2/p1.jpg",
        "t*[[]2019]/*": "trip [2019]/p[1].jpg",
    }.items():
        assert found(f"memory://bucket/{pattern}") == [(f"memory:///bucket/{name}", "")]


def test_each_photo_comes_once_however_it_is_spelled(store):
    inputs = ["memory://bucket/b.jpg", "memory:///bucket/b.jpg", "memory://bucket", "memory:///bucket/a/"]
    inputs += ["memory://bucket/*.jpg", "memory://bucket/notes.txt", "memory:///bucket/notes.txt"]
    sources = Sources(inputs)
    assert [source.name.rpartition("bucket/")[2] for source in sources] == [
        *("b.jpg", "a/c.PNG", "a/deep/d.webp", "empty.jpg", "z[1].jpg", "notes.txt")
    ]
    assert sources.repeated == 7


def test_systems_own_folders_are_passed_over_and_counted(store):
    for name in ("@eaDir/x.jpg", "a/@eaDir/c.PNG/y.jpg", ".Trashes/z.jpg", "a/@eaDir/w.jpg"):
        store.pipe(f"/bucket/{name}", b"x")
    for inputs, rows, passed_over in (
        (["memory://bucket"], 5, 4),  # .trash as well
        (["memory://bucket/@eaDir"], 1, 0),
        (["memory://bucket/@eaDir/*"], 1, 0),
        (["memory://bucket/[ab@]*/[@cd]*"], 2, 1),
    ):
        sources = Sources(inputs)
        assert (len(list(sources)), sources.passed_over) == (rows, passed_over)


def test_what_is_not_there_is_refused(store):
    with pytest.raises(WrongUse, match="There is nothing at 'memory://bucket/x'"):
        found("memory://bucket/x")
    with pytest.raises(WrongUse, match="'nowhere://bucket' cannot be reached: Protocol not known: nowhere"):
        found("nowhere://bucket")


def test_contents_are_those_of_the_store(store):
    assert read_file("memory://bucket/a/c.PNG") == b"a/c.PNG"
    for name, reason in (("empty.jpg", "the file is empty"), ("x.jpg", "no such file")):
        with pytest.raises(UnreadableImage, match=reason):
            read_file(f"memory://bucket/{name}")
    assert remote.exists("memory://bucket/b.jpg") and not remote.exists("memory://bucket/x.jpg")


def test_a_store_that_fails_gives_a_reason_for_each_file(store, monkeypatch):
    failing = Sources(["memory://bucket"])

    def fail(*_, **__):
        raise ConnectionError("the line\nis down.")

    for method in ("cat_file", "ls", "exists"):
        monkeypatch.setattr(type(store), method, fail)
    with pytest.raises(UnreadableImage, match="cannot be read: the line is down"):
        read_file("memory://bucket/b.jpg")
    (failed,) = failing
    assert failed.error == "folder cannot be read: the line is down"
    with pytest.raises(UnreadableImage, match="the line is down"):
        remote.exists("memory://bucket/b.jpg")


def test_a_file_here_may_look_like_a_uri(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("memory:").mkdir()
    Image.new("RGB", (9, 9)).save("memory:/photo.png")
    Path("memory:/photo").write_bytes(b"")
    assert found("memory://photo.png") == [("memory://photo.png", "")]
    assert found("memory://photo") == [("memory://photo", "")], "whatever it is called"
    assert read_rgb("memory://photo.png", ReadOptions()).size == (9, 9)


@pytest.mark.slow
def test_rows_and_copies_are_those_of_files_here(photos, dedrifted, tmp_path):
    """By processes of their own, which must open the store themselves."""
    rows, copies, measured = [], [], []
    (photos / "a.jpg.png").write_bytes((photos / "a.jpg").read_bytes())
    for number, place in enumerate((str(photos), f"local://{photos}")):
        model = ModelOptions("test_resnet", dedrifted[0], "cpu", engine="torch")
        output = tmp_path / f"{number}.csv"
        list(Classification(ClassifyOptions((place,), output, model=model, workers=1)).rows())
        with output.open(newline="") as file:
            rows.append(list(csv.DictReader(file)))
        degradation = Degradation(((Compression("jpeg", 10),),))
        asked = EvaluateOptions(place, tmp_path / f"accuracy{number}.csv", (degradation.last,), model=model, workers=1)
        evaluation = Evaluation(asked)
        list(evaluation.photos())
        measured.append(evaluation.rows())
        list(Degrading(DegradeOptions(place, tmp_path / f"copies{number}", (degradation,), workers=1)).copies())
        folder = tmp_path / f"copies{number}" / degradation.name
        copies.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")})
    assert rows[0] == rows[1] and len(rows[0]) == 7
    assert measured[0] == measured[1] and measured[0][1]["images"] == 7
    assert copies[0] == copies[1] and len(copies[0]) == 7
