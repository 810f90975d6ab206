"""One writer for each output, and whatever a killed one leaves is no hindrance."""

import gc
import logging
import os
import platform
import subprocess
import sys
from contextlib import contextmanager

import pytest

from afdcli.cli import app
from afdcli.errors import OutputRefused
from afdcli.machines import locks
from afdcli.machines.locks import Lock

HOLD = """
import sys; from pathlib import Path; from afdcli.machines.locks import Lock
lock = Lock(Path(sys.argv[1])); print("held", flush=True); sys.stdin.read()
"""


@contextmanager
def another(path):
    """While another process has the lock of `path`: that process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.communicate()


def test_a_second_process_is_told_which_has_it_and_where(tmp_path):
    path = tmp_path / "rows.csv"
    with another(path) as process, pytest.raises(OutputRefused) as refused:
        Lock(path)
    expected = f"'{path}' is being written by another afd, process {process.pid} on {platform.node()}. "
    assert str(refused.value).startswith(expected)
    assert list(tmp_path.iterdir()) == []
    with Lock(path):
        assert [one.name for one in tmp_path.iterdir()] == [".afd-rows.csv.lock"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_leaves_locks_nothing(tmp_path):
    path = tmp_path / "rows.csv"
    with another(path) as process:
        process.kill()
        process.wait()
        assert len(list(tmp_path.iterdir())) == 1
        with Lock(path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_other_outputs_are_free(tmp_path):
    with another(tmp_path / "rows.csv"), Lock(tmp_path / "rows.jsonl"), Lock(tmp_path / "rows"):
        pass


def test_the_same_process_may_lock_again_and_the_first_one_counts(tmp_path):
    path = tmp_path / "rows.csv"
    with Lock(path), Lock(path):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("end", ["release", "collect", "release_all"])
def test_a_lock_ends_with_its_object_or_all_together(tmp_path, end):
    lock = Lock(tmp_path / "rows.csv")
    if end == "release_all":
        locks.release_all()
    elif end == "release":
        lock.release()
        lock.release()
    else:
        del lock
        gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"my own notes", b"afd"])
def test_a_file_of_somebody_else_stays_as_it_is(tmp_path, content):
    (tmp_path / ".afd-rows.csv.lock").write_bytes(content)
    with Lock(tmp_path / "rows.csv"):
        pass
    assert (tmp_path / ".afd-rows.csv.lock").read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "mine").write_bytes(b"")
    (tmp_path / ".afd-rows.csv.lock").symlink_to("mine")
    with Lock(tmp_path / "rows.csv"):
        assert (tmp_path / "mine").read_bytes() == b""
    assert (tmp_path / "mine").exists()


def test_where_there_can_be_no_lock_nothing_is_locked(tmp_path, monkeypatch):
    with Lock(tmp_path / "nowhere" / "rows.csv"):
        pass

    def refuse(_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks, "_lock", refuse)
    with Lock(tmp_path / "rows.csv"):
        pass


def test_many_processes_that_try_again_and_again_are_never_two_at_a_time(tmp_path):
    program = """
import os, sys
from pathlib import Path
from afdcli.errors import OutputRefused
from afdcli.machines.locks import Lock
had = 0
while had < 20:
    try:
        with Lock(Path(sys.argv[1])):
            os.mkdir(sys.argv[2]); os.rmdir(sys.argv[2]); had += 1
    except OutputRefused:
        pass
"""
    command = [sys.executable, "-c", program, str(tmp_path / "rows.csv"), str(tmp_path / "inside")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    assert list(tmp_path.iterdir()) == []


COMMANDS = {
    "classify": ("{photos} -o {out}/rows.csv", "rows.csv"),
    "evaluate": ("{photos} -o {out}/table.csv --jpeg 10", "table.csv"),
    "degrade": ("{photos} {out} --qf 10", "jpeg-10.csv"),
    "train": ("{photos} -o {out}/m.safetensors", "m.safetensors"),
    "export": ("{out}/m.onnx --photos {photos}", "m.onnx"),
    "fuse": ("{out}/m.safetensors {out}/folded.safetensors --photos {photos}", "folded.safetensors"),
    "explain": ("{photos}/a.jpg -o {out}/picture.png", "picture.png"),
    "explain --statistics": ("{photos} -o {out}/picture.png", "picture.png"),
    "gallery": ("{out}/rows.csv", "rows-gallery"),
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", [(), ("--overwrite",)])
def test_every_command_that_writes_refuses_what_another_one_is_writing(
    photos, tmp_path, monkeypatch, capfd, command, flag
):
    line, name = COMMANDS[command]
    out = tmp_path / "out"
    out.mkdir()
    arguments = [part.format(photos=photos, out=out) for part in line.split()]
    monkeypatch.setattr(sys, "argv", ["afd", *command.split(), *arguments, *flag])
    with another(out / name) as process:
        with pytest.raises(SystemExit) as end:
            app.main()
        left = [one.name for one in out.iterdir()]
    logging.disable(logging.NOTSET)
    assert end.value.code == 2
    assert f"is being written by another afd, process {process.pid} on " in capfd.readouterr().err
    assert left == [f".afd-{name}.lock"]
