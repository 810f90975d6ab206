"""Every file once, under a name that fits the folder given, in an order that never changes."""

import codecs
import io
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdcli.errors import WrongUse
from afdcli.photos import kinds
from afdcli.photos import sources as module
from afdcli.photos.kinds import IMAGE_ENDINGS
from afdcli.photos.sources import Sources, local_path, printable


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the current one, and that everybody may search."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def listed(monkeypatch):
    """Puts bytes on standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def touch(*paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def expanded(*inputs):
    return Sources(inputs).paths


def names(*inputs):
    return [source.name for source in Sources([str(one) for one in inputs])]


def errors(*inputs):
    return {source.name: source.error for source in Sources([str(one) for one in inputs]) if source.error}


def counts(*inputs):
    """Rows, folders passed over, names that led to what was there."""
    sources = Sources(inputs)
    return len(list(sources)), sources.passed_over, sources.repeated


def test_one_folder_gives_names_relative_to_it(photos):
    assert names(photos) == ["a.jpg", "b.png", "cats/a.jpg", "cats/old/d.webp", "dogs/e.avif", "dogs/f.JPEG"]


def test_several_folders_give_names_that_begin_with_them(here):
    touch("one/a.jpg", "two/sub/a.jpg")
    assert names("one", "two") == ["one/a.jpg", "two/sub/a.jpg"]
    assert names("one/", "two//") == ["one/a.jpg", "two/sub/a.jpg"]


def test_paths_open_what_the_names_say(photos):
    for source in Sources([str(photos)]):
        assert Path(source.path) == photos / source.name
        assert source.error == ""


def test_same_named_files_of_different_folders_all_come(here):
    touch("x/a.jpg", "y/a.jpg", "y/z/a.jpg", "a.jpg")
    assert names(".") == ["a.jpg", "x/a.jpg", "y/a.jpg", "y/z/a.jpg"]


def test_hidden_files_and_folders_are_passed_over(here):
    touch(".a.jpg", ".thumbnails/b.jpg", "c/._d.jpg", "c/d.jpg")
    assert names(".") == ["c/d.jpg"]


def test_a_hidden_folder_that_is_named_is_searched(here):
    touch(".cache/a.jpg")
    assert names(".cache") == ["a.jpg"]


def test_other_files_are_passed_over(here):
    touch("a.txt", "jpg", "b.jpg.bak", "c.jpg~", "d", "photo.jpg")
    assert names(".") == ["photo.jpg"]


@pytest.fixture
def odd(here, photo):
    """A folder of odd files: photos by other names, and what is none by any."""
    photo.save("photo.jpg")
    jpeg = Path("photo.jpg").read_bytes()
    for name in ("photo.jpg_large", "photo.jpg.1", "image.jpg@w=640", "IMG_0001", "photo.jpg~", "notes.txt"):
        Path(name).write_bytes(jpeg)
    for kind in ("png", "gif", "bmp", "tiff", "webp", "avif", "ppm", "jp2"):
        photo.save(f"photo.{kind}")
        Path(f"photo.{kind}").rename(f"{kind}.download")
    photo.save("old.tga")
    photo.save("shot.tiff")
    Path("shot.tiff").rename("shot.NEF")  # as a camera's raw file begins
    for name, content in {
        "a.txt": b"BMore text",
        "LICENSE": b"P1",
        "empty": b"",
        "v.mp4": b"\0\0\0 ftypisom" + bytes(99),
    }.items():
        Path(name).write_bytes(content)
    Path("broken").symlink_to("nothing")
    Path("photo link").symlink_to("IMG_0001")
    touch(".DS_Store", "sub/.hidden/b.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.fifo")
    return here


def test_odd_files_are_accounted_for_to_the_last(odd):
    sources = Sources(["."])
    found = [source.name for source in sources]
    by_content = ["IMG_0001", "image.jpg@w=640", "notes.txt", "photo.jpg.1", "photo.jpg_large", "photo.jpg~"]
    downloads = sorted(path.name for path in odd.glob("*.download"))
    assert found == sorted(["photo.jpg", *by_content, *downloads])
    assert sources.repeated == 1  # the link
    expected = {".tga": 1, ".nef": 1, ".txt": 1, "": 3, ".mp4": 1, "hidden": 2}
    assert sources.other_files == expected | ({".fifo": 1} if hasattr(os, "mkfifo") else {})
    everything = [path for path in odd.rglob("*") if path.is_file() or path.is_symlink() or path.is_fifo()]
    assert len(everything) == len(found) + sources.repeated + sum(sources.other_files.values())


def test_every_file_can_have_a_row(odd):
    sources = Sources(["."], every_file=True)
    found = [source.name for source in sources]
    assert {"old.tga", "shot.NEF", "a.txt", "LICENSE", "empty", "v.mp4", "broken", "notes.txt"} < {*found}
    assert found == sorted(found) and sources.other_files == {"hidden": 2}


def test_odd_photos_reached_twice_come_once(odd):
    assert sorted(names("IMG_0001", ".")) == sorted(["IMG_0001", *(f"./{n}" for n in names(".") if n != "IMG_0001")])
    Path("other").mkdir()
    Path("other/link").symlink_to("../IMG_0001")
    assert [name for name in names(".", "other") if "IMG_0001" in name or "link" in name] == ["./IMG_0001"]


def test_a_folder_without_photos_says_what_was_there(here):
    touch("one.zip", "two.zip", "README")
    with pytest.raises(WrongUse, match=r"no image in '.'. Passed over: 2 .zip, 1 without an ending"):
        names(".")


def test_a_photo_is_not_opened_to_be_found(here, monkeypatch):
    touch(*(f"{number}.jpg" for number in range(50)))
    monkeypatch.setattr(kinds, "head_of", None)
    assert len(names(".")) == 50


@pytest.mark.parametrize("ending", sorted(IMAGE_ENDINGS))
def test_image_endings_count_in_either_case(here, ending):
    touch(f"a{ending}", f"b{ending.upper()}")
    assert names(".") == [f"a{ending}", f"b{ending.upper()}"]


@pytest.mark.parametrize("name", ["photo", "photo.txt", ".hidden", "photo.jpg.part"])
def test_a_file_that_is_named_is_taken_whatever_its_ending(here, name):
    touch(f"sub/{name}")
    assert names(f"sub/{name}") == [f"sub/{name}"]


def test_a_folder_named_like_a_photo_is_reported_and_searched(here):
    touch("x.jpg/a.jpg")
    assert names(".") == ["x.jpg", "x.jpg/a.jpg"]
    assert errors(".") == {"x.jpg": "a folder, not a file"}


def test_links_to_folders_and_files_are_followed(here):
    touch("elsewhere/sub/a.jpg", "elsewhere/b.jpg", "photos/c.jpg")
    Path("photos/link").symlink_to("../elsewhere/sub")
    Path("photos/b.jpg").symlink_to("../elsewhere/b.jpg")
    Path("photos/text.txt").symlink_to("../elsewhere/b.jpg")
    assert names("photos") == ["b.jpg", "c.jpg", "link/a.jpg"]
    assert errors("photos") == {}


def test_a_folder_that_is_itself_a_link_is_searched(here):
    touch("photos/a.jpg")
    Path("link").symlink_to("photos")
    assert names("link") == ["a.jpg"]


@pytest.mark.parametrize("target", [".", "..", "../../photos/sub"])
def test_a_link_to_a_parent_leads_to_nothing_new(here, target):
    touch("photos/sub/a.jpg")
    Path("photos/sub/loop").symlink_to(target)
    assert names("photos") == ["sub/a.jpg"]
    assert counts("photos") == (1, 0, 1)


@pytest.mark.parametrize("inputs", [["."], ["f*"], ["f3", "."], ["**/*.jpg"], ["*/*/*/*.jpg", "."]])
def test_folders_that_link_to_each_other_give_each_photo_once(here, inputs):
    """Each of nine can be reached in 9 + 9 * 8 + ... = 986,409 ways."""
    for number in range(9):
        touch(f"f{number}/{number}.jpg")
        for other in range(9):
            Path(f"f{number}/to{other}").symlink_to(f"../f{other}")
    assert sorted(name[-5:] for name in names(*inputs)) == [f"{number}.jpg" for number in range(9)]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["p/a.jpg", "p/a.jpg"], ["p/a.jpg"]),
        (["p/a.jpg", "./p//a.jpg", "p/q/../a.jpg"], ["p/a.jpg"]),
        (["./p/a.jpg", "p"], ["./p/a.jpg", "p/q/b.jpg"]),
        (["p", "p/a.jpg", "p/q/b.jpg"], ["p/a.jpg", "p/q/b.jpg"]),
        (["p", "p/q", "p/", "p/../p"], ["p/a.jpg", "p/q/b.jpg"]),
        (["p/q", "p"], ["p/q/b.jpg", "p/a.jpg"]),
        (["p/q/*", "p"], ["p/q/b.jpg", "p/a.jpg"]),
        (["*/*.jpg", "p/**"], ["p/a.jpg", "p/q/b.jpg"]),
    ],
)
def test_a_photo_that_is_named_twice_comes_once_by_its_first_name(here, inputs, expected):
    touch("p/a.jpg", "p/q/b.jpg")
    assert names(*inputs) == expected


def test_a_list_may_name_a_photo_twice(here, listed):
    touch("p/a.jpg", "p/q/b.jpg")
    listed(f"p/a.jpg\n{here}/p/a.jpg\np/gone.jpg\nno/x.jpg\np/gone.jpg\nno/x.jpg\n".encode())
    sources = Sources(["-", "p"])
    assert [source.name for source in sources] == ["p/a.jpg", "p/gone.jpg", "no/x.jpg", "p/q/b.jpg"]
    assert sources.repeated == 4


def test_the_first_name_of_a_photo_with_links_counts(here):
    touch("p/m/photo.jpg", "p/x.jpg", "p/b.jpg", "out/o.jpg")
    Path("p/a.jpg").symlink_to("m/photo.jpg")  # before the photo
    Path("p/z.jpg").symlink_to("m/photo.jpg")  # after it
    Path("p/m/w.jpg").symlink_to("../x.jpg")  # from inside, before
    Path("p/m/c.jpg").symlink_to("../b.jpg")  # from inside, after
    Path("p/n").symlink_to("../out")
    Path("p/o.jpg").symlink_to("n/o.jpg")  # through a link
    Path("p/q.jpg").symlink_to("o.jpg")  # a link to a link
    assert names("p") == ["a.jpg", "b.jpg", "m/w.jpg", "n/o.jpg"]
    assert names("p/q.jpg", "p") == ["p/q.jpg", "p/a.jpg", "p/b.jpg", "p/m/w.jpg"]
    assert names("out", "p")[0] == "out/o.jpg" and len(names("out", "p")) == 4


def test_what_a_search_passes_over_comes_when_it_is_named(here):
    touch("p/a.jpg", "p/.hidden.jpg", "p/notes.txt", "p/@eaDir/x.jpg")
    found = ["p/a.jpg", "p/.hidden.jpg", "p/notes.txt", "p/@eaDir/x.jpg"]
    assert names("p", *found) == found
    Path("p/link.jpg").symlink_to("notes.txt")
    assert names("p") == ["a.jpg", "link.jpg"]


def test_hard_links_are_photos_of_their_own(here):
    touch("p/a.jpg")
    Path("p/b.jpg").hardlink_to("p/a.jpg")
    assert names("p") == ["a.jpg", "b.jpg"]
    assert names("p/b.jpg", "p/a.jpg") == ["p/b.jpg", "p/a.jpg"]


def test_nothing_is_kept_for_a_photo_that_a_folder_has(here):
    touch(*(f"p/{number % 7}/{number}.jpg" for number in range(500)))
    Path("p/+.jpg").symlink_to("0/0.jpg")
    search = module._Search()
    assert len(list(search.folder(module._Folder("p", "p", "")))) == 500
    assert len(search._reached) == 8
    assert sum(map(len, search._taken.values())) == 1


def test_folders_without_numbers_are_told_apart(here, monkeypatch):
    """Some network drives give every file the inode 0."""
    touch("p/a.jpg", "p/q/b.jpg", "p/r/c.jpg")
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda *a, **k: SimpleNamespace(st_dev=1, st_ino=0, st_mode=stat(*a, **k).st_mode))
    assert names("p") == ["a.jpg", "q/b.jpg", "r/c.jpg"]


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "#recycle", "$Recycle.Bin", "System Volume Information", ".Trash-1000", "__MACOSX", "lost+found"],
)
def test_systems_own_folders_are_passed_over_and_counted(here, folder):
    touch("p/IMG_1.jpg", f"p/{folder}/IMG_1.jpg/THUMB_M.jpg", f"p/q/{folder}/x.jpg", "p/.cache/y.jpg")
    assert names("p") == ["IMG_1.jpg"]
    assert counts("p") == (1, 2, 0)
    assert counts("p", "p/q") == (1, 2, 1)
    assert counts("p/**/*.jpg") == (1, 0 if folder.startswith(".") else 2, 0)
    assert counts(f"p/{folder}")[1:] == (0, 0), "it is named itself"
    assert names(f"p/q/{folder}") == ["x.jpg"] and names(f"p/q/{folder}/*.jpg") == [f"p/q/{folder}/x.jpg"]


def test_files_called_like_a_systems_folder_are_none(here):
    touch("p/__MACOSX", "p/@eaDir.jpg", "p/lost+found.jpg")
    assert counts("p") == (2, 0, 0)


def test_broken_links_that_look_like_photos_are_kept_for_the_report(here):
    Path("gone.jpg").symlink_to("nowhere")
    Path("self.jpg").symlink_to("self.jpg")
    Path("gone").symlink_to("nowhere")
    assert names(".") == ["gone.jpg", "self.jpg"]


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_still_comes(here, unprivileged):
    touch("photos/a.jpg", "photos/locked/b.jpg", "photos/z.jpg")
    Path("photos/locked").chmod(0)
    with unprivileged():
        found = names("photos")
        reasons = errors("photos")
    Path("photos/locked").chmod(0o755)
    assert found == ["a.jpg", "locked", "z.jpg"]
    assert reasons == {"locked": "folder cannot be read: Permission denied"}


@pytest.mark.parametrize("inputs", [["."], ["empty", "notes"], ["notes/"]])
def test_inputs_without_a_photo_are_refused_by_name_each_time_they_are_gone_through(here, inputs):
    touch("notes/a.txt")
    (here / "empty").mkdir()
    sources = Sources(inputs)
    for _ in range(2):
        with pytest.raises(WrongUse) as refusal:
            list(sources)
        assert str(refusal.value) == f"There is no image in {', '.join(map(repr, inputs))}. Passed over: 1 .txt."


def test_an_empty_list_is_refused(here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(WrongUse, match="There is no image in the list on standard input"):
        list(Sources(["-"]))


def test_the_order_is_that_of_names_and_always_the_same(here):
    touch("10.jpg", "9.jpg", "B/1.jpg", "a.jpg", "Z.jpg", "b.jpg", "ä.jpg")
    assert names(".") == ["10.jpg", "9.jpg", "B/1.jpg", "Z.jpg", "a.jpg", "b.jpg", "ä.jpg"]
    assert names(".") == names(".")


WORDS = st.text("ab1. -\n'\"é", min_size=1, max_size=3).filter(lambda word: word not in (".", ".."))
TREES = st.lists(st.tuples(st.lists(WORDS, max_size=3), WORDS, st.sampled_from([".jpg", ".PNG", ".txt"])), max_size=12)


@pytest.mark.slow
@settings(max_examples=50, deadline=None, derandomize=True)
@given(TREES)
def test_random_trees_give_each_photo_once_and_in_the_same_order(tree):
    with tempfile.TemporaryDirectory() as folder:
        for parents, stem, ending in tree:
            path = Path(folder, *(parent + "d" for parent in parents), stem + ending)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        Path(folder, "0.jpg").touch()  # or there might be nothing, which is refused
        expected = {
            path.relative_to(folder).as_posix()
            for path in Path(folder).rglob("*")
            if path.is_file()
            and path.suffix.lower() in IMAGE_ENDINGS
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        }
        found = names(folder)
        assert set(found) == expected
        assert len(found) == len(expected)
        assert found == names(folder)


def test_patterns_are_matched_in_order_of_name(here):
    touch("p/b.jpg", "p/a.jpg", "p/c.png", "p/.d.jpg")
    assert expanded("p/*.jpg") == ["p/a.jpg", "p/b.jpg"]
    assert names("p/*.jpg") == ["p/a.jpg", "p/b.jpg"]


def test_two_stars_match_any_depth(here):
    touch("p/a.jpg", "p/q/r/b.jpg")
    assert names("p/**/*.jpg") == ["p/a.jpg", "p/q/r/b.jpg"]


def test_a_pattern_that_matches_folders_and_their_files_gives_each_photo_once(here):
    touch("p/a.jpg", "p/q/b.jpg")
    assert sorted(names("p/**")) == ["p/a.jpg", "p/q/b.jpg"]


def test_a_name_with_the_signs_of_a_pattern_is_that_file(here):
    touch("a[1].jpg", "a1.jpg")
    assert expanded("a[1].jpg") == ["a[1].jpg"]


def test_names_do_not_depend_on_how_many_there_are(here, listed):
    """So lists cut in pieces by xargs join again."""
    touch("p/a.jpg")
    for inputs in (["p/a.jpg"], ["p/*.jpg"], ["-"], [f"{here}/p/a.jpg"]):
        listed(b"p/a.jpg\n")
        assert [name.removeprefix(f"{here}/") for name in names(*inputs)] == ["p/a.jpg"]
    for inputs in (["p*"], ["-"], ["p", "p"]):
        listed(b"p\n")
        assert names(*inputs) == ["p/a.jpg"], "a folder"
    assert names("p") == ["a.jpg"]


def test_a_photo_that_is_all_of_a_dataset_is_named_without_its_folder(here):
    touch("p/a.jpg")
    assert [source.name for source in Sources(["p/a.jpg"], dataset=True)] == ["a.jpg"]
    assert [source.name for source in Sources(["p"], dataset=True)] == ["a.jpg"]
    assert [source.name for source in Sources(["p/*"], dataset=True)] == ["p/a.jpg"]


@pytest.mark.parametrize("begin", ["file://", "file://localhost", "file:", "FILE://"])
def test_a_file_uri_is_the_file_here(here, begin):
    touch("a b/ü [1]%.jpg", "a b/c#d?.jpg", "a b/c d.jpg", "c%20d.jpg")
    for uri, found in {
        "/a%20b/%C3%BC%20%5B1%5D%25.jpg": "a b/ü [1]%.jpg",
        "/a b/ü [1]%.jpg": "a b/ü [1]%.jpg",
        "/a%20b/c#d?.jpg": "a b/c#d?.jpg",
        "/a%20b/c%23d%3f.jpg": "a b/c#d?.jpg",
        "/c%20d.jpg": "c%20d.jpg",
    }.items():
        (source,) = Sources([f"{begin}{here}{uri}"])
        assert (source.name, source.path) == (f"{begin}{here}{uri}", f"{here}/{found}")
    assert len(names(f"{begin}{here}/a%20b")) == len(names(f"{begin}{here}/a%20b/")) == 3
    assert names(f"{begin}{here}/a%20b", f"{here}/a b")[0] == f"{begin}{here}/a%20b/c d.jpg"
    assert counts(f"{begin}{here}/a%20b", f"{here}/a b") == (3, 0, 1)
    assert names(f"{begin}{here}/a%20b/c d*") == [f"file://{here}/a%20b/c%20d.jpg"]


def test_file_uris_in_a_list_and_of_other_encodings(here, listed):
    Path(os.fsdecode(b"\xff.jpg")).touch()
    listed(b"file://" + os.fsencode(here) + b"/%FF.jpg\n")
    (source,) = Sources(["-"])
    assert os.fsencode(source.path) == os.fsencode(here) + b"/\xff.jpg"
    assert local_path((here / "a b").as_uri()) == f"{here}/a b"
    touch("file:/x/a.jpg")
    assert names("file:/x") == ["a.jpg"], "a folder that is called so"
    with pytest.raises(WrongUse, match="no file or folder 'file:///no%20where'"):
        Sources(["file:///no%20where"])


def test_a_pattern_without_matches_is_refused(here):
    with pytest.raises(WrongUse, match=r"No file matches '\*\.jpg'"):
        expanded("*.jpg")


def test_a_mistyped_argument_is_refused(here):
    touch("photos/a.jpg")
    with pytest.raises(WrongUse, match="no file or folder 'fotos'"):
        expanded("photos", "fotos")


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000])
def test_an_argument_longer_than_any_path_is_refused(here, name):
    with pytest.raises(WrongUse):
        expanded(name)


def test_a_broken_link_that_is_named_is_no_typing_error(here):
    Path("gone.jpg").symlink_to("nowhere")
    assert expanded("gone.jpg") == ["gone.jpg"]


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"", []),
        (b"\n\n", []),
        (b"a.jpg\nb c.jpg\n", ["a.jpg", "b c.jpg"]),
        (b"a.jpg\r\nb.jpg\r\n", ["a.jpg", "b.jpg"]),
        (b"a.jpg\n\nb.jpg", ["a.jpg", "b.jpg"]),
        (b"a.jpg\0new\nline.jpg\0", ["a.jpg", "new\nline.jpg"]),
        (b"\xff.jpg\n", [os.fsdecode(b"\xff.jpg")]),
        (b"missing/x.jpg\n", ["missing/x.jpg"]),
        (b"a\nb\n", ["a", "b"]),
        (b".\0./a.jpg\0", [".", "./a.jpg"]),
        ("/a b/ü.jpg\r\nc.jpg\r\n".encode("utf-8-sig"), ["/a b/ü.jpg", "c.jpg"]),
        ("/a b/ü猫.jpg\r\nc.jpg\r\n".encode("utf-16"), ["/a b/ü猫.jpg", "c.jpg"]),
        ("/a b/ü猫.jpg\r\nc.jpg\r\n".encode("utf-16-le"), ["/a b/ü猫.jpg", "c.jpg"]),
        ("\ufeff./a.jpg\n".encode("utf-16-be"), ["./a.jpg"]),
        ("./a.jpg\n".encode("utf-16-be"), ["./a.jpg"]),
        ("/a b/ü猫.jpg\r\nc.jpg\r\n".encode("utf-32"), ["/a b/ü猫.jpg", "c.jpg"]),
        ("\ufeff/a/b.jpg\n".encode("utf-32-be"), ["/a/b.jpg"]),
        ("猫犬\r\n魚.jpg\r\n".encode("utf-16-le"), ["猫犬", "魚.jpg"]),
        ("上一\n".encode("utf-16-le"), ["上一"]),
        ("photos/a.jpg".encode("utf-16-le"), ["photos/a.jpg"]),
        ("\r\n\r\na.jpg\r\n\r\n".encode("utf-16"), ["a.jpg"]),
        ("a.jpg\0b.jpg\0".encode("utf-8-sig"), ["a.jpg", "b.jpg"]),
        (b"a\0b\0c\0", ["a", "b", "c"]),
        (b"\0a\0b\0", ["a", "b"]),
        (b"./a\0./b c\0\n", ["./a", "./b c", "\n"]),
        (codecs.BOM_UTF8, []),
        (codecs.BOM_UTF16_LE, []),
    ],
)
def test_a_list_on_standard_input_is_read(here, listed, data, paths):
    listed(data)
    assert expanded("-") == paths


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n\ufeff"), min_size=1), min_size=1),
    st.sampled_from(["utf-8-sig", "utf-16", "utf-32"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_list_that_says_its_encoding_names_just_what_was_written(names, encoding, end):
    data = "".join(name + end for name in names).encode(encoding)
    assert [os.fsencode(path).decode() for path in module._listed(data)] == names


@pytest.mark.parametrize("stdin", [None, SimpleNamespace(buffer=SimpleNamespace(read=lambda: os.read(-1, 1)))])
def test_a_list_that_cannot_be_read_is_refused(here, monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(WrongUse, match="standard input: "):
        expanded("-")


def test_a_list_stands_where_its_dash_is(here, listed):
    touch("a.jpg", "z.jpg")
    listed(b"m.jpg\n")
    assert expanded("a.jpg", "-", "z.jpg") == ["a.jpg", "m.jpg", "z.jpg"]


def test_a_listed_folder_is_searched(here, listed):
    touch("p/a.jpg", "b.jpg")
    listed(b"p\nb.jpg\n")
    assert names("-") == ["p/a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "name",
    [b"new\nline.jpg", b"'quotes\".jpg", b",;\t.jpg", b"\xff.jpg", b"\xe2\x82.jpg", "日本.jpg".encode(), b" .jpg"],
)
def test_odd_names_are_found_and_can_be_opened(here, name):
    Path(os.fsdecode(name)).write_bytes(b"x")
    (source,) = Sources(["."])
    assert os.fsencode(source.name) == name
    assert Path(source.path).read_bytes() == b"x"
    printable(source.name).encode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a.jpg", "a.jpg"),
        (b"\xff.jpg", r"\xff.jpg"),
        (b"a\xe2\x82b", r"a\xe2\x82b"),
        ("é日".encode(), "é日"),
        (b"a\nb", "a\nb"),
    ],
)
def test_printable_names_show_foreign_bytes(name, shown):
    assert printable(os.fsdecode(name)) == shown
    assert printable(shown) == shown
    if os.name == "posix":  # what a system gives that knows ASCII alone
        assert printable(name.decode("ascii", "surrogateescape")) == shown


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=20))
def test_printable_is_always_valid_text(name):
    shown = printable(os.fsdecode(name))
    assert shown.encode().decode() == shown
    try:
        assert shown == name.decode()
    except UnicodeDecodeError:
        assert "\\x" in shown
