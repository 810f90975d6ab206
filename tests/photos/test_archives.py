"""Photos in archives, shards and tables: the same as in a folder, each in its order, whatever became of the file."""

import hashlib
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import parquet, tar, zipped, zstandard
from PIL import Image

from afdcli.errors import UnreadableImage, WrongUse
from afdcli.formats import members
from afdcli.photos import archives
from afdcli.photos.reading import read_file, read_source
from afdcli.photos.sources import Sources
from afdcli.photos.stamp import stamp

PHOTOS = {
    "a.jpg": b"",
    "b.png": b"",
    "cats/a.jpg": b"",
    "cats/old/d.webp": b"",
    "no ending": b"",
}
"""What is packed: names, and the bytes that the fixture gives them."""


@pytest.fixture(scope="module")
def contents():
    """Photos by name, and other files, as bytes."""
    found = {}
    for number, name in enumerate(PHOTOS):
        buffer = io.BytesIO()
        image = Image.effect_mandelbrot((60 + number, 40), (-2, -1.5, 1, 1.5), 50).convert("RGB")
        image.save(buffer, format={"png": "PNG", "webp": "WEBP"}.get(name.rpartition(".")[2], "JPEG"))
        found[name] = buffer.getvalue()
    return found | {"notes.txt": b"none", "old.tga": b"\0\0\2" + bytes(600)}


PACKED = {
    "a.tar": tar,
    "a.zip": zipped,
    "stored.zip": lambda path, files: zipped(path, files, zipfile.ZIP_STORED),
    "a.tar.gz": lambda path, files: tar(path, files, "w:gz"),
    "a.tgz": lambda path, files: tar(path, files, "w:gz"),
    "gz.tar": lambda path, files: tar(path, files, "w:gz"),
    "pax.tar": lambda path, files: tar(path, files, "w"),
    "a.tar.bz2": lambda path, files: tar(path, files, "w:bz2"),
    "a.tar.xz": lambda path, files: tar(path, files, "w:xz"),
    "a.tar.zst": zstandard,
    "a.parquet": lambda path, files: parquet(
        path, {n: d for n, d in files.items() if n not in ("notes.txt", "old.tga")}
    ),
}


def read(source):
    return "" if source.error else hashlib.sha256(read_source(source)).hexdigest()


def rows(sources):
    return [(source.name, source.error, read(source)) for source in sources]


@pytest.mark.parametrize("name", PACKED)
def test_an_archive_has_the_photos_of_the_folder(tmp_path, monkeypatch, contents, name):
    monkeypatch.chdir(tmp_path)
    PACKED[name](tmp_path / name, contents)
    for member, data in contents.items():
        Path("folder", member).parent.mkdir(parents=True, exist_ok=True)
        Path("folder", member).write_bytes(data)
    in_folder, packed = Sources(["folder"]), Sources([name])
    expected = {(f"{name}/{source.name}", "", read(source)) for source in in_folder}
    assert {*rows(packed.reading())} == expected and len(expected) == len(PHOTOS)
    assert [source.name for source in packed] == [f"{name}/{member}" for member in contents if member in PHOTOS]
    assert [source.bare() for source in packed.reading()] == list(packed)  # both ways through give the same
    assert all(source.data == b"" for source in packed)
    if name != "a.parquet":
        assert packed.other_files == in_folder.other_files == {".txt": 1, ".tga": 1}
    places = {stamp(source.path) for source in packed}
    compressed = [source.path.endswith(" ") for source in packed]
    assert all(compressed) or (
        len(places) == len(PHOTOS) and {read_file(s.path) for s in packed} <= {*contents.values()}
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PACKED if "zip" not in name and name != "a.parquet"])
def test_a_tar_cut_short_gives_what_is_whole_and_one_for_the_rest(tmp_path, monkeypatch, contents, name):
    monkeypatch.chdir(tmp_path)
    PACKED[name](tmp_path / name, contents)
    whole, data = rows(Sources([name]).reading()), Path(name).read_bytes()
    plain = name in ("a.tar", "pax.tar")
    seen = set()
    for cut in [*range(1, len(data), max(1, len(data) // 60)), *(range(512, len(data) - 1024, 512) if plain else ())]:
        Path(name).write_bytes(data[:cut])
        sources = Sources([name])
        found = rows(sources.reading())
        good = [row for row in found if not row[1]]
        assert good == whole[: len(good)]
        if len(found) > len(good) or (plain and len(good) < len(whole)) or not good:
            assert [row[1] != "" for row in found] == [False] * len(good) + [True], (cut, found)
        assert [source.bare() for source in sources.reading()] == list(sources)
        seen.add(len(good))
    assert len(seen) > 3 or not plain  # Some compress all of it together.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.zip", "stored.zip", "streamed.zip"])
def test_a_zip_cut_short_does_too(tmp_path, monkeypatch, contents, name):
    monkeypatch.chdir(tmp_path)
    if name == "streamed.zip":  # sizes come after what is packed, as where it was written to a pipe

        class Pipe(io.BytesIO):
            def seekable(self):
                return False

            def tell(self):
                raise OSError

        pipe = Pipe()
        zipped(pipe, contents)
        Path(name).write_bytes(pipe.getvalue())
    else:
        PACKED[name](tmp_path / name, contents)
    whole, data = rows(Sources([name]).reading()), Path(name).read_bytes()
    assert len(whole) == len(PHOTOS)
    seen = set()
    for cut in range(1, len(data) - 1, max(1, len(data) // 60)):
        Path(name).write_bytes(data[:cut])
        found = rows(Sources([name]).reading())
        good = [row for row in found if not row[1]]
        assert good == whole[: len(good)]
        assert [row[1] != "" for row in found] == [False] * len(good) + [True]
        seen.add(len(good))
    assert len(seen) > 3


def test_a_damaged_member_is_a_row_and_the_others_stay(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    data = bytearray(zipped(tmp_path / "a.zip", contents).read_bytes())
    place = data.find(b"b.png") + 60
    data[place : place + 40] = bytes(40)
    Path("a.zip").write_bytes(data)
    found = {}
    for source in Sources(["a.zip"]):
        try:
            found[source.name] = read_source(source)
        except UnreadableImage as error:
            found[source.name] = str(error)
    assert [name for name, one in found.items() if isinstance(one, str)] == ["a.zip/b.png"]
    data = bytearray(tar(tmp_path / "a.tar", contents).read_bytes())
    place = data.find(b"cats/a.jpg")
    data[place : place + 20] = b"\xff" * 20  # a header
    Path("a.tar").write_bytes(data)
    found = rows(Sources(["a.tar"]).reading())
    assert [name for name, error, _ in found if not error] == ["a.tar/a.jpg", "a.tar/b.png"]
    assert found[-1][0] == "a.tar" and "damaged" in found[-1][1] and len(found) == 3


def test_what_is_no_archive_is_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in PACKED:
        for content in (b"", b"no archive", b"\x1f\x8b\x08", b"PK\3\4", b"PAR1"):
            Path(name).write_bytes(content)
            (row,) = rows(Sources([name]))
            assert row[0] == name and row[1], (name, content)


def test_names_are_only_names(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    inner = zipped(tmp_path / "inner.zip", contents).read_bytes()
    hostile = dict.fromkeys(
        ("../../up.jpg", "/etc/root.jpg", "a/../../b.jpg", "C:\\x.jpg", "./c.jpg", "<b>.jpg"), contents["a.jpg"]
    )
    hidden = {"__MACOSX/._a.jpg": b"x", "__MACOSX/b/._c.jpg": b"x", ".hidden/a.jpg": b"x", "._a.jpg": b"x"}
    for path in (
        zipped(Path("a.zip"), hostile | hidden | {"n.zip": inner}),
        tar(Path("a.tar"), hostile | hidden | {"n.zip": inner}),
    ):
        sources = Sources([str(path)])
        assert [source.name for source in sources.reading()] == [f"{path}/{name}" for name in hostile]
        assert (sources.passed_over, sources.other_files) == (1, {"hidden": 2, ".zip": 1})
        assert len(list(Sources([str(path)], every_file=True))) == len(hostile) + 1


def test_bombs_meet_a_limit(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    for module in ("tars", "zips"):
        monkeypatch.setattr(f"afdcli.formats.{module}.LARGEST", 10_000)
    files = {"a.jpg": contents["a.jpg"], "bomb.jpg": bytes(1_000_000), "z.jpg": contents["a.jpg"]}
    for name in ("a.zip", "a.tar", "a.tar.gz"):
        PACKED[name](Path(name), files)
        assert [row[1] for row in rows(Sources([name]).reading())] == ["", members.TOO_LARGE, ""]
    data = Path("a.zip").read_bytes()  # says that it is small
    lying = data.replace((1_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    Path("a.zip").write_bytes(lying)
    bomb = list(Sources(["a.zip"]))[1]
    with pytest.raises(UnreadableImage, match="damaged"):
        read_source(bomb)


def test_links_and_holes_are_rows(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    with tarfile.open("a.tar", "w") as archive:
        for name, kind in (("s.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("p.jpg", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert [bool(source.error) for source in Sources(["a.tar"])] == [True] * 3


def test_what_lies_beside_a_photo_says_its_class(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    photo = contents["a.jpg"]
    files = {
        "0.jpg": photo,
        "0.cls": b"281\n",
        "1.cls": b"tabby",
        "1.jpg": photo,
        "2.json": b'{"label": 3, "x": 1}',
        "2.png": photo,
        "2.txt": b"a caption",
        "n0/3.jpg": photo,
        "4.jpg": photo,
        "5.seg.png": photo,
        "5.jpg": photo,
        "5.cls": b"5",
        "lonely.txt": b"",
    }
    for name in ("a.tar", "a.tar.gz"):
        PACKED[name](Path(name), files)
        sources = Sources([name], dataset=True)
        assert [source.label for source in sources] == ["281", "tabby", "3", "n0", "", "5", "5"]
        assert [dict(source.beside) for source in sources][2] == {"json": files["2.json"], "txt": b"a caption"}
        assert sources.other_files == {".txt": 1}
        assert {source.beside for source in Sources([name])} == {()}


def test_a_table_says_its_classes(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    photos = {name: contents[name] for name in PHOTOS}
    parquet(Path("a.parquet"), photos, [1, 0, 1, 0, 2], ["tench", "tabby", "cat"])
    assert [source.label for source in Sources(["a.parquet"])] == ["tabby", "tench", "tabby", "tench", "cat"]
    parquet(Path("b.parquet"), photos, [1, 0, 1, 0, 2])
    assert [source.label for source in Sources(["b.parquet"])] == ["1", "0", "1", "0", "2"]
    parquet(Path("c.parquet"), dict.fromkeys(["a.jpg", "b.jpg"]), None)
    assert [row[1] for row in rows(Sources(["c.parquet"]).reading())] == [
        f"its table has only its path, '{n}.jpg'" for n in "ab"
    ]


def test_braces_name_shards(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    for number in (0, 1, 3):
        tar(Path(f"s-{number:04}.tar"), {f"{number}.jpg": contents["a.jpg"]})
    found = [source.name for source in Sources(["s-{0000..0003}.tar"])]
    assert found == ["s-0000.tar/0.jpg", "s-0001.tar/1.jpg", "s-0002.tar", "s-0003.tar/3.jpg"]
    assert [source.name for source in Sources(["s-*.tar"])] == [f"s-000{n}.tar/{n}.jpg" for n in (0, 1, 3)]
    assert [source.name for source in Sources(["s-*.tar", "s-0000.tar", "./s-0001.tar"])] == [
        f"s-000{n}.tar/{n}.jpg" for n in (0, 1, 3)
    ]
    with pytest.raises(WrongUse, match="no file that 'x-"):
        Sources(["x-{0..3}.tar"])
    assert archives.unbraced("{8..10}") == ["8", "9", "10"] and archives.unbraced("{02..00}") == ["02", "01", "00"]
    assert archives.unbraced("a{b,c}{1..2}") == ["ab1", "ab2", "ac1", "ac2"]
    for plain in ("a{b}.jpg", "{0..99999999999}.tar", "{a..b}", "x"):
        assert archives.unbraced(plain) == [plain]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_chained_addresses_keep_the_archives_half(tmp_path, contents, kind):
    path = PACKED[f"a.{kind}"](tmp_path / f"a.{kind}", contents)
    photos = [*PHOTOS]

    def names(text):
        sources = Sources([text])
        assert all(not error for _, error, _ in rows(sources.reading()))
        return [source.name.removeprefix(f"{path}/").removeprefix(f"file://{path}/") for source in sources]

    assert names(f"{kind}://::{path}") == names(f"{kind}://**::file://{path}") == names(f"{kind}://*::{path}") == photos
    assert names(f"{kind}://a.jpg::{path}") == ["a.jpg"] == names(f"{kind}://*.jpg::{path}")
    assert names(f"{kind}://cats::{path}") == ["cats/a.jpg", "cats/old/d.webp"]
    assert names(f"{kind}://**/*.jpg::{path}") == ["a.jpg", "cats/a.jpg"]


def test_archives_in_a_store(contents, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name in ("a.tar", "a.zip", "a.tar.gz", "a.parquet"):
        PACKED[name](tmp_path / name, contents)
        store.pipe(f"/shards/{name}", (tmp_path / name).read_bytes())
        sources = Sources([f"memory://shards/{name}"])
        here = [digest for *_, digest in rows(Sources([str(tmp_path / name)]).reading())]
        assert [digest for *_, digest in rows(sources.reading())] == here
        if name != "a.tar.gz":
            assert [hashlib.sha256(read_file(source.path)).hexdigest() for source in sources] == here
    assert len(list(Sources(["memory://shards/a.{tar,zip}"]))) == 2 * len(PHOTOS)
    store.pipe("/pictures/x.jpg", contents["a.jpg"])
    (source,) = Sources(["simplecache::memory://pictures"])
    assert read_file(source.path) == contents["a.jpg"]
    store.rm("/shards", recursive=True)
    store.rm("/pictures", recursive=True)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nothing_in_an_archive_raises(data, tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("hostile")
    name = data.draw(st.sampled_from(["a.tar", "a.zip", "a.tar.gz", "a.tar.xz", "a.parquet"]))
    content = bytearray(PACKED[name](folder / name, contents).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(1, 30))] = data.draw(st.binary(max_size=30))
    (folder / name).write_bytes(content)
    sources = Sources([str(folder / name)], dataset=True)
    try:
        found = list(sources.reading())
    except WrongUse:
        found = []
    for source in found:
        try:
            if not source.error:
                read_source(source)
        except UnreadableImage:
            continue
    assert len(found) == sum(1 for _ in sources) if found else True
    shutil.rmtree(folder)
