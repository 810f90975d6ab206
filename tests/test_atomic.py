import os

import pytest

from afdcli import atomic
from afdcli.errors import OutputRefused


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_it_is_whole(tmp_path):
    path = tmp_path / "a.png"
    with atomic.file(path) as fresh:
        fresh.write_text("half")
        assert fresh.suffix == ".png" and not path.exists()
    assert path.read_text() == "half" and names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_fails_leaves_everything_as_it_was(tmp_path, error):
    path = tmp_path / "a.png"
    path.write_text("before")
    with pytest.raises(error), atomic.file(path) as fresh:
        fresh.write_text("half")
        raise error
    assert path.read_text() == "before" and names(tmp_path) == ["a.png"]


def test_no_room_is_a_sentence(tmp_path):
    refused = pytest.raises(OutputRefused, match=r"a\.png' cannot be written: No space left on device")
    with refused, atomic.file(tmp_path / "a.png") as fresh:
        fresh.write_text("half")
        raise OSError(28, os.strerror(28))
    assert names(tmp_path) == []


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    with atomic.file(tmp_path / "a") as fresh:
        fresh.touch()
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_hard_link_of_what_is_replaced_keeps_its_contents(tmp_path):
    (tmp_path / "a").write_text("before")
    os.link(tmp_path / "a", tmp_path / "backup")
    with atomic.file(tmp_path / "a") as fresh:
        fresh.write_text("after")
    assert (tmp_path / "a").read_text() == "after" and (tmp_path / "backup").read_text() == "before"


def test_the_longest_names_can_be_written(tmp_path):
    path = tmp_path / ("a" * 251 + ".png")
    with atomic.file(path) as fresh:
        fresh.write_text("whole")
    assert path.read_text() == "whole"


def test_files_come_together_or_not_at_all(tmp_path):
    with pytest.raises(ValueError), atomic.files(tmp_path) as fresh:
        (fresh / "a.xml").write_text("1")
        raise ValueError
    assert names(tmp_path) == []
    with atomic.files(tmp_path) as fresh:
        (fresh / "a.xml").write_text("1")
        (fresh / "a.bin").write_text("2")
        assert names(tmp_path) == [fresh.name]
    assert names(tmp_path) == ["a.bin", "a.xml"]
    with pytest.raises(OutputRefused, match="cannot be written"), atomic.files(tmp_path / "missing"):
        pass
