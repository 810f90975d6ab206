"""Where files go that nobody named, and what is done where there is no such place."""

import socket
import tempfile
from pathlib import Path

import pytest

from afdcli.machines import places


def refuse(*_, **__):
    raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")


def test_without_any_temporary_folder_there_is_none(monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert places.for_temporary_files() is None


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="has no such sockets")
@pytest.mark.parametrize("length", [20, 80, 108, 200])
def test_a_socket_fits_into_the_folder_for_them(monkeypatch, length):
    with tempfile.TemporaryDirectory(prefix="t" * length, dir="/tmp") as long:
        monkeypatch.setattr(tempfile, "gettempdir", lambda: long)
        folder = places.for_sockets()
        assert (str(folder) == long) == (len(long) <= places.LONGEST_FOR_SOCKETS)
        with tempfile.TemporaryDirectory(prefix="pymp-", dir=folder) as inside, socket.socket(socket.AF_UNIX) as one:
            one.bind(f"{inside}/sock-12345678")


def test_without_a_place_for_sockets_there_is_none(monkeypatch):
    monkeypatch.setattr(places, "_takes_files", lambda _: False)
    assert places.for_sockets() is None


def test_a_log_goes_to_the_first_folder_that_takes_it(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    folders = [tmp_path / "file" / "logs", tmp_path / "logs"]
    monkeypatch.setattr(places, "_folders_for_logs", lambda: iter(folders))
    path = places.write_log("caf\udce9")
    assert path.parent == folders[1] and path.read_text("utf-8") == r"caf\udce9"
    monkeypatch.setattr(places, "_folders_for_logs", lambda: iter(folders[:1]))
    assert places.write_log("text") is None


def test_an_account_without_a_home_has_its_logs_among_temporary_files(monkeypatch):
    import platformdirs

    monkeypatch.setattr(platformdirs, "user_log_path", lambda _: Path("~/.local/state"))
    assert list(places._folders_for_logs()) == [Path(tempfile.gettempdir())]
    monkeypatch.setattr(platformdirs, "user_log_path", refuse_with_runtime_error)
    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert list(places._folders_for_logs()) == []


def refuse_with_runtime_error(_):
    raise RuntimeError("no home")
