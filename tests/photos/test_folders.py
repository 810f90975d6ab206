"""What exists is no pattern; what is a pattern matches as in a shell, each folder once."""

import glob
from pathlib import Path

import pytest

from afdcli.photos.folders import Pattern, identity, is_system_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths):
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def matches(text):
    return Pattern(text).matches()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trip [2019]/*.jpg", ["trip [2019]/a.jpg", "trip [2019]/p[1].jpg", "trip [2019]/p[1]b.jpg"]),
        ("./trip [2019]/*[1]*.jpg", ["./trip [2019]/p[1].jpg", "./trip [2019]/p[1]b.jpg"]),
        ("trip [2019]/p[1].jp*", ["trip [2019]/p[1].jpg"]),
        ("*/p[1].jpg", ["trip [2019]/p[1].jpg"]),
        ("trip [[]2019]/a.jpg", ["trip [2019]/a.jpg"]),
        ("trip [2]/*.jpg", ["trip 2/b.jpg", "trip 2/p1.jpg"]),
        ("trip [0-9]/b.jp[ge]", ["trip 2/b.jpg"]),
        ("trip*/deep/**/[[]x]/*.jpg", ["trip [2019]/deep/er/[x]/c.jpg"]),
        ("trip [2019]/**/c.jpg", ["trip [2019]/deep/er/[x]/c.jpg"]),
        ("w?t *here/[x]/*", ["w?t *here/[x]/d.jpg"]),
        ("w?t *here/**", ["w?t *here/[x]/d.jpg"]),
        ("**/[x]", ["trip [2019]/deep/er/[x]", "w?t *here/[x]"]),
        ("trip [2019]/none*", []),
        ("nowhere [2019]/*.jpg", []),
        ("trip [2019]/*/", ["trip [2019]/deep/"]),
    ],
)
def test_what_exists_is_no_pattern(here, text, expected):
    touch("trip [2019]/a.jpg", "trip [2019]/p[1].jpg", "trip [2019]/p[1]b.jpg", "trip [2019]/deep/er/[x]/c.jpg")
    touch("trip 2/b.jpg", "trip 2/p1.jpg", "w?t *here/[x]/d.jpg", "wet there/x/e.jpg")
    assert matches(text) == expected
    if expected:
        assert matches(f"{here}/trip 2/../{text}") == [f"{here}/trip 2/../{path}" for path in expected]


@pytest.mark.parametrize(
    "text", ["*", "*/*", "p/**/*.jpg", "**/*.jpg", "p/[ab].jpg", "p/?/*", ".h*", "*/.h*", "p//*.jpg"]
)
def test_other_patterns_match_as_pythons_do(here, text):
    touch("p/a.jpg", "p/b.jpg", "p/q/c.jpg", "p/q/r/d.jpg", ".hidden/e.jpg", "p/.h.jpg", "p/z.txt")
    assert matches(text) == sorted(glob.glob(text, recursive=True)) != []


def test_two_stars_reach_each_folder_once(here):
    for number in range(9):
        touch(f"f{number}/{number}.jpg")
        for other in range(9):
            Path(f"f{number}/to{other}").symlink_to(f"../f{other}")
    assert len(matches("**/*.jpg")) == len(matches(f"{here}/**")) == len(matches("f3/**/**/*.jpg")) == 9


def test_systems_own_folders_match_only_by_their_name(here):
    touch("p/@eaDir/a.jpg", "p/q/@eaDir/b.jpg", "p/c.jpg", "p/__MACOSX/d/e.jpg")
    for text, found, passed_over in (
        ("p/**/*.jpg", ["p/c.jpg"], 3),
        ("p/*/*.jpg", [], 2),
        ("p/@eaDir/*.jpg", ["p/@eaDir/a.jpg"], 0),
        ("p/*/@eaDir/*", ["p/q/@eaDir/b.jpg"], 2),
        ("p/__MACOSX/**", ["p/__MACOSX/d/e.jpg"], 0),
    ):
        pattern = Pattern(text)
        assert (pattern.matches(), pattern.passed_over) == (found, passed_over)


def test_ordinary_names_are_no_systems():
    for name in ("eaDir", "recycle", "Trash", "photos", "#1", "@home", "my __MACOSX", "FOUND.jpg", ".trashy"):
        assert not is_system_folder(name)


def test_a_folder_has_one_identity_whatever_it_is_called(here):
    touch("p/q/a.jpg", "o/a.jpg")
    Path("link").symlink_to("p")
    assert identity("p") == identity("./p/") == identity("link") == identity(f"{here}/p/q/..") != identity("o")
    assert identity("gone") == identity("./gone") != identity("gone2")
    assert identity("a\0b") != identity("p")
