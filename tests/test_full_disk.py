"""A disk that is full at the very end: a sentence, nothing half-written under a final name, and what was measured is
still shown."""

import errno
import logging
import os
import sys
from collections import namedtuple

import pytest
import torch

from afdcli import atomic
from afdcli.cli import app
from afdcli.errors import OutputRefused, ParityError

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.


@pytest.fixture
def full(monkeypatch):
    """A function by which no file gets a place whose name ends so, until it is called again with nothing."""
    replace = os.replace

    def fill(*endings):
        def move(source, target):
            if str(target).endswith(endings):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(source, target)

        monkeypatch.setattr(atomic.os, "replace", move if endings else replace)

    return fill


@pytest.fixture
def afd(monkeypatch, capfd):
    """Runs a command: gives its exit code, and all that it said."""

    def run(*line):
        monkeypatch.setattr(sys, "argv", ["afd", *map(str, line)])
        with pytest.raises(SystemExit) as end:
            app.main()
        said = capfd.readouterr()
        return end.value.code or 0, said.out, said.err

    yield run
    logging.disable(logging.NOTSET)


@pytest.mark.slow
def test_rows_that_find_no_room_as_parquet_are_shown_and_kept(photos, network, tmp_path, afd, full):
    output, line = tmp_path / "a.parquet", ("classify", photos, "--workers", "0", *network)
    full(".parquet")
    code, shown, said = afd(*line, "-o", output)
    assert (code, output.exists()) == (2, False)
    assert "No space left on device" in said and "--resume makes the file of them" in said and "Traceback" not in said
    assert "Classified" in shown and "dogs/f.JPEG" in shown
    full()
    assert afd(*line, "-o", output, "--resume")[0] == 0
    assert output.exists() and not list(tmp_path.glob(f"{atomic.PREFIX}*"))


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["a.md", "a.png", "a.html", "a.csv.json", "kept.parquet"])
def test_what_was_measured_is_shown_though_it_cannot_be_written(photos, network, tmp_path, afd, full, ending):
    output = tmp_path / "a.csv"
    line = ("evaluate", photos, "--workers", "0", *network, "--jpeg", "10", "--compare", "-o", output)
    line += ("--per-photo", tmp_path / "kept.parquet")
    full(ending)
    code, shown, said = afd(*line)
    assert code == 2 and "No space left on device" in said and "Traceback" not in said
    assert "agreement %" in shown and "Rows are in" not in shown
    assert not (tmp_path / ending).exists() and not list(tmp_path.glob(f"{atomic.PREFIX}*"))
    full()
    code, shown, _ = afd(*line, "--resume")
    assert code == 0 and "a.html: open it in a browser" in " ".join(shown.split())
    assert (tmp_path / ending).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.onnx", "a.pt2", "a.xml"])
def test_an_export_that_finds_no_room_leaves_nothing(photos, network, tmp_path, afd, full, name):
    full(*((".bin",) if name == "a.xml" else (name,)))
    code, _, said = afd("export", tmp_path / name, "--photos", photos, *network[:4])
    assert code == 2 and "No space left on device" in said and "Traceback" not in said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(("a.", atomic.PREFIX))]


Usage = namedtuple("Usage", "free")


@pytest.mark.parametrize("error", [RuntimeError("PytorchStreamWriter failed"), ValueError("?"), OSError("?")])
def test_whatever_a_library_says_of_a_full_disk_becomes_a_sentence(tmp_path, monkeypatch, error):
    def write(path):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: Usage(0))
    with pytest.raises(OutputRefused, match="cannot be written"), atomic.file(tmp_path / "a.pt2") as fresh:
        write(fresh)
    with pytest.raises(OutputRefused, match="cannot be written"), atomic.files(tmp_path) as fresh:
        write(fresh / "a.pt2")
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    for error in (RuntimeError("a fault"), ParityError("another result")):
        with pytest.raises(type(error), match=str(error)), atomic.file(tmp_path / "a"):
            raise error
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda _: Usage(0))
    with pytest.raises(ParityError), atomic.files(tmp_path):
        raise ParityError("another result")
