"""Every file once, under a name that fits the folder given, in an order that never changes."""

import io
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdcli.errors import WrongUse
from afdcli.photos.sources import IMAGE_ENDINGS, expand_inputs, find_images, printable


@contextmanager
def unprivileged():
    """Permissions do not hold for root: be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


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


def names(*paths):
    return [source.name for source in find_images([str(path) for path in paths])]


def errors(*paths):
    return {source.name: source.error for source in find_images([str(path) for path in paths]) if source.error}


def test_one_folder_gives_names_relative_to_it(photos):
    assert names(photos) == ["a.jpg", "b.png", "cats/a.jpg", "cats/old/d.webp", "dogs/e.avif", "dogs/f.JPEG"]


def test_several_folders_give_names_that_begin_with_them(here):
    touch("one/a.jpg", "two/sub/a.jpg")
    assert names("one", "two") == ["one/a.jpg", "two/sub/a.jpg"]
    assert names("one/", "two//") == ["one/a.jpg", "two/sub/a.jpg"]


def test_paths_open_what_the_names_say(photos):
    for source in find_images([str(photos)]):
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
    touch("a.txt", "jpg", "b.jpg.bak", "c.jpg~", "d")
    assert names(".") == []


@pytest.mark.parametrize("ending", sorted(IMAGE_ENDINGS))
def test_image_endings_count_in_either_case(here, ending):
    touch(f"a{ending}", f"b{ending.upper()}")
    assert names(".") == [f"a{ending}", f"b{ending.upper()}"]


@pytest.mark.parametrize("name", ["photo", "photo.txt", ".hidden", "photo.jpg.part"])
def test_a_file_that_is_named_is_taken_whatever_its_ending(here, name):
    touch(f"sub/{name}")
    assert names(f"sub/{name}") == [name]
    assert names(f"sub/{name}", f"sub/{name}") == [f"sub/{name}"] * 2


def test_a_folder_named_like_a_photo_is_reported_and_searched(here):
    touch("x.jpg/a.jpg")
    assert names(".") == ["x.jpg", "x.jpg/a.jpg"]
    assert errors(".") == {"x.jpg": "a folder, not a file"}


def test_links_to_folders_and_files_are_followed(here):
    touch("elsewhere/sub/a.jpg", "photos/b.jpg")
    Path("photos/link").symlink_to("../elsewhere")
    Path("photos/c.jpg").symlink_to("b.jpg")
    assert names("photos") == ["b.jpg", "c.jpg", "link/sub/a.jpg"]
    assert errors("photos") == {}


def test_a_folder_that_is_itself_a_link_is_searched(here):
    touch("photos/a.jpg")
    Path("link").symlink_to("photos")
    assert names("link") == ["a.jpg"]


@pytest.mark.parametrize("target", [".", "..", "../../photos/sub"])
def test_a_link_to_a_parent_is_reported_once_and_not_followed(here, target):
    touch("photos/sub/a.jpg")
    Path("photos/sub/loop").symlink_to(target)
    assert names("photos") == ["sub/a.jpg", "sub/loop"]
    assert errors("photos") == {"sub/loop": "symbolic link to a folder that contains it"}


def test_links_between_two_folders_end(here):
    touch("a/1.jpg", "b/2.jpg")
    Path("a/to_b").symlink_to("../b")
    Path("b/to_a").symlink_to("../a")
    assert names(".") == ["a/1.jpg", "a/to_b/2.jpg", "a/to_b/to_a", "b/2.jpg", "b/to_a/1.jpg", "b/to_a/to_b"]


def test_broken_links_that_look_like_photos_are_kept_for_the_report(here):
    Path("gone.jpg").symlink_to("nowhere")
    Path("self.jpg").symlink_to("self.jpg")
    Path("gone").symlink_to("nowhere")
    assert names(".") == ["gone.jpg", "self.jpg"]


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_still_comes(here):
    touch("photos/a.jpg", "photos/locked/b.jpg", "photos/z.jpg")
    Path("photos/locked").chmod(0)
    with unprivileged():
        found = names("photos")
        reasons = errors("photos")
    Path("photos/locked").chmod(0o755)
    assert found == ["a.jpg", "locked", "z.jpg"]
    assert reasons == {"locked": "folder cannot be read: Permission denied"}


def test_an_empty_folder_gives_nothing(here):
    assert names(".") == []


def test_the_order_is_that_of_names_and_always_the_same(here):
    touch("10.jpg", "9.jpg", "B/1.jpg", "a.jpg", "Z.jpg", "b.jpg", "ä.jpg")
    assert names(".") == ["10.jpg", "9.jpg", "B/1.jpg", "Z.jpg", "a.jpg", "b.jpg", "ä.jpg"]
    assert names(".") == names(".")


WORDS = st.text("ab1. -\n'\"é", min_size=1, max_size=3).filter(lambda word: word not in (".", ".."))
TREES = st.lists(st.tuples(st.lists(WORDS, max_size=3), WORDS, st.sampled_from([".jpg", ".PNG", ".txt"])), max_size=12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(TREES)
def test_random_trees_give_each_photo_once_and_in_the_same_order(tree):
    with tempfile.TemporaryDirectory() as folder:
        for parents, stem, ending in tree:
            path = Path(folder, *(parent + "d" for parent in parents), stem + ending)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
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
    assert expand_inputs(["p/*.jpg"]) == ["p/a.jpg", "p/b.jpg"]
    assert names(*expand_inputs(["p/*.jpg"])) == ["p/a.jpg", "p/b.jpg"]


def test_two_stars_match_any_depth(here):
    touch("p/a.jpg", "p/q/r/b.jpg")
    assert names(*expand_inputs(["p/**/*.jpg"])) == ["p/a.jpg", "p/q/r/b.jpg"]


def test_a_pattern_that_matches_folders_and_their_files_gives_each_photo_once(here):
    touch("p/a.jpg", "p/q/b.jpg")
    assert sorted(names(*expand_inputs(["p/**"]))) == ["p/a.jpg", "p/q/b.jpg"]


def test_a_name_with_the_signs_of_a_pattern_is_that_file(here):
    touch("a[1].jpg", "a1.jpg")
    assert expand_inputs(["a[1].jpg"]) == ["a[1].jpg"]


def test_a_pattern_without_matches_is_refused(here):
    with pytest.raises(WrongUse, match=r"No file matches '\*\.jpg'"):
        expand_inputs(["*.jpg"])


def test_a_mistyped_argument_is_refused(here):
    touch("photos/a.jpg")
    with pytest.raises(WrongUse, match="no file or folder 'fotos'"):
        expand_inputs(["photos", "fotos"])


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000])
def test_an_argument_longer_than_any_path_is_refused(here, name):
    with pytest.raises(WrongUse):
        expand_inputs([name])


def test_a_broken_link_that_is_named_is_no_typing_error(here):
    Path("gone.jpg").symlink_to("nowhere")
    assert expand_inputs(["gone.jpg"]) == ["gone.jpg"]


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
    ],
)
def test_a_list_on_standard_input_is_read(here, listed, data, paths):
    listed(data)
    assert expand_inputs(["-"]) == paths


def test_a_list_stands_where_its_dash_is(here, listed):
    touch("a.jpg", "z.jpg")
    listed(b"m.jpg\n")
    assert expand_inputs(["a.jpg", "-", "z.jpg"]) == ["a.jpg", "m.jpg", "z.jpg"]


def test_a_listed_folder_is_searched(here, listed):
    touch("p/a.jpg", "b.jpg")
    listed(b"p\nb.jpg\n")
    assert names(*expand_inputs(["-"])) == ["p/a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "name",
    [b"new\nline.jpg", b"'quotes\".jpg", b",;\t.jpg", b"\xff.jpg", b"\xe2\x82.jpg", "日本.jpg".encode(), b" .jpg"],
)
def test_odd_names_are_found_and_can_be_opened(here, name):
    Path(os.fsdecode(name)).write_bytes(b"x")
    (source,) = find_images(["."])
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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=20))
def test_printable_is_always_valid_text(name):
    shown = printable(os.fsdecode(name))
    assert shown.encode().decode() == shown
    try:
        assert shown == name.decode()
    except UnicodeDecodeError:
        assert "\\x" in shown
