"""The process around a command: exit codes, closed and full streams, letters that a terminal lacks, signals."""

import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from sessions import session

from afdcli.cli import ending, process, report, streams
from afdcli.cli.app import app
from afdcli.errors import Fallback, WrongUse
from afdcli.machines import places

AFD = f"{sys.executable} -m afdcli"
posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


@pytest.fixture
def ends(monkeypatch, capfd, tmp_path):
    """Runs a function as a command is run: (exit code, standard output, standard error)."""
    monkeypatch.setattr(places, "_folders_for_logs", lambda: iter([tmp_path / "logs"]))

    def run(function, *arguments):
        monkeypatch.setattr(sys, "argv", ["afd", *arguments])
        capfd.readouterr()
        with warnings.catch_warnings():
            code = process.run(lambda **_: function())
        return code, *capfd.readouterr()

    yield run
    logging.disable(logging.NOTSET)


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize("error", [ValueError("no\nsuch thing"), RecursionError(), KeyError("x"), OSError(5, "Broken")])
def test_what_nobody_foresaw_is_a_sentence_with_an_exit_code_of_its_own_and_its_traceback_in_a_file(
    ends, tmp_path, error
):
    code, out, err = ends(raising(error), "classify", "photos")
    (log,) = (tmp_path / "logs").iterdir()
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert err.startswith(f"afd: This should not have happened: {type(error).__name__}: ")
    assert str(log) in err and "Traceback" not in err
    text = log.read_text("utf-8")
    assert "Traceback" in text and "in command" in text and "'photos'" in text


def test_where_no_file_can_be_written_or_with_debug_the_traceback_is_shown(ends, tmp_path, monkeypatch):
    code, _, err = ends(raising(ValueError("[no]")), "--debug", "classify")
    assert code == 70 and "Traceback" in err and "[no]" in err
    assert not (tmp_path / "logs").exists()
    monkeypatch.setattr(places, "_folders_for_logs", lambda: iter([tmp_path / "file" / "logs"]))
    (tmp_path / "file").touch()
    code, _, err = ends(raising(ValueError("no")), "classify")
    assert code == 70 and "Traceback" in err


def test_want_of_memory_says_what_to_lower(ends):
    code, _, err = ends(raising(MemoryError()))
    assert code == 70 and "--workers" in err and err.count("\n") == 1


def test_want_of_a_temporary_folder_says_what_to_set(ends, monkeypatch):
    monkeypatch.setattr(places, "for_temporary_files", lambda: None)
    code, _, err = ends(raising(OSError("Matplotlib requires access to a writable cache directory")))
    assert code == 70 and "Set TMPDIR" in err and err.count("\n") == 1


def test_a_refusal_and_an_interruption_keep_their_codes(ends):
    assert ends(raising(WrongUse("No.")))[0] == 2
    assert ends(raising(KeyboardInterrupt()))[0] == 130
    assert ends(raising(ending.Stopped(15)))[0] == 143
    assert [ends(lambda code=code: code)[0] for code in (None, 0, 1, 3)] == [0, 0, 1, 3]


def test_the_codes_are_in_the_help_and_in_the_readme():
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    for code in (0, 1, 2, 3, 70, 74, 130, 141, 143):
        assert f" {code}, " in ending.EXIT_CODES
        assert f"| {code} |" in readme
    assert app.info.epilog == ending.EXIT_CODES


def test_what_is_done_in_another_way_is_said_and_other_warnings_are_not(ends):
    def command():
        warnings.warn("for programmers", UserWarning, stacklevel=1)
        warnings.warn(Fallback("Done otherwise."), stacklevel=1)

    assert ends(command) == (0, "", "afd: Done otherwise.\n")


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    ("redirection", "code", "complaint"),
    [
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        pytest.param(
            ">/dev/full",
            74,
            "afd: Standard output cannot be written: No space left on device. All else was done.\n",
            marks=pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full"),
        ),
    ],
)
def test_streams_that_take_nothing_are_told_by_the_exit_code(redirection, code, complaint):
    line = f"{AFD} --help {redirection}"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (code, complaint)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
def test_what_libraries_print_goes_to_no_file_of_rows(closed, photos, network, tmp_path):
    plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
    flags = " ".join([*network, "--workers 1"])
    for path, streams_ in ((plain, ""), (other, closed)):
        subprocess.run(["bash", "-c", f"{AFD} classify {photos} -o {path} {flags} {streams_}"], capture_output=True)
    assert other.read_bytes() == plain.read_bytes()


@pytest.mark.slow
@posix
def test_a_list_from_a_closed_standard_input_is_refused():
    run = subprocess.run(["bash", "-c", f"{AFD} classify - <&-"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert run.stderr.startswith("afd: There is no list on standard input: it is closed.")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_letters_that_the_terminal_lacks_are_escaped(encoding, tmp_path, monkeypatch):
    path = tmp_path / "out"
    with path.open("w", encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", streams.Lasting(stream))
        report.table(("photo", "label"), [("J\u00e4ger \u732b \U0001f408.jpg", "x")])
        sys.stdout.flush()
    shown = path.read_bytes().decode(encoding)
    name = "J\u00e4ger \u732b \U0001f408.jpg"
    assert name.encode(encoding, "backslashreplace").decode(encoding) in shown
    assert len({len(line) for line in shown.splitlines()}) == 1 or encoding == "utf-8"  # Columns stay columns.


def test_no_text_at_all_can_break_a_stream(tmp_path):
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        lasting = streams.Lasting(stream)
        assert lasting.write("caf\udce9 \ud83d") == 6
    assert (tmp_path / "out").read_text() == "caf\\udce9 \\ud83d"


def test_nowhere_takes_everything():
    nowhere = streams.Lasting(None)
    assert nowhere.write("text") == 4 and not nowhere.isatty()
    nowhere.flush()


# Signals


def started(*args):
    return subprocess.Popen(
        [sys.executable, "-m", "afdcli", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def commands(photos, network, tmp_path):
    """For each command, its arguments, and the file that grows while it works."""
    slow = ("--workers", "1", *network)
    return {
        "classify": ((photos, "-o", tmp_path / "rows.csv", *slow), tmp_path / "rows.csv"),
        "evaluate": ((photos, "-o", tmp_path / "table.csv", "--jpeg", "10", *slow), None),
        "degrade": ((photos, tmp_path / "copies", "--qf", "10", "--workers", "1"), tmp_path / "copies/jpeg-10.csv"),
        "train": ((photos, "-o", tmp_path / "m.safetensors", "--width", "4", *slow), tmp_path / "m.csv"),
    }


def grown(process, file, rows=3):
    """Wait until the file has some rows; without a file, until a worker has been started."""
    deadline = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < deadline:
        if file is None and len(session(process.pid)) > 3:
            return
        if file is not None and file.exists() and file.read_bytes().count(b"\n") > rows:
            return
        time.sleep(0.005)


@pytest.fixture
def many(photos):
    """A folder with so many photos that no command comes to their end."""
    for number in range(600):
        os.link(photos / "a.jpg", photos / f"{number:03}.jpg")
    return photos


@posix
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see other processes")
@pytest.mark.parametrize("name", ["classify", "evaluate", "degrade", "train"])
@pytest.mark.parametrize("to", [os.kill, os.killpg])
def test_sigterm_ends_as_ctrl_c_does_with_143_and_nothing_left(many, network, tmp_path, name, to):
    arguments, file = commands(many, network, tmp_path)[name]
    run = started(name, *arguments)
    grown(run, file)
    to(run.pid, signal.SIGTERM)
    time.sleep(0.05)
    if run.poll() is None:
        to(run.pid, signal.SIGTERM)  # Who is impatient does no harm.
    out, err = run.communicate(timeout=100)
    assert (run.returncode, out) == (143, ""), err
    passing = ("Compiling the classifier", "All ", "An hour is ")
    said = [line for line in err.splitlines() if not line.startswith(passing)]
    assert len(said) <= 1, err  # no traceback, no warning of semaphores
    deadline = time.monotonic() + 20
    while session(run.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not session(run.pid)


@posix
def test_what_is_ignored_stays_so_and_torchrun_ends_its_own(monkeypatch):
    for name in ("SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    with ending.stopped_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with ending.stopped_by_signals():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


FIRST_SIGNAL = """
import os, signal, sys, time
from afdcli.cli import ending
with ending.stopped_by_signals():
    try:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
        time.sleep(10)
    except KeyboardInterrupt as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
        sys.exit(ending.code_of(stopped))
"""


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_first_signal_is_raised_and_those_that_follow_are_not(name):
    ended = subprocess.run([sys.executable, "-c", FIRST_SIGNAL, name])
    assert ended.returncode == 128 + getattr(signal, name)
