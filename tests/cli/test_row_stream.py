"""Rows on standard output: those of a file, as they come, for whoever reads them as long as he does."""

import subprocess
import sys
from pathlib import Path

import pytest

from afdcli.errors import WrongUse
from afdcli.options import ClassifyOptions

pytestmark = pytest.mark.slow


@pytest.fixture
def command(photos, network, tmp_path):
    """`afd classify` with its small network; it may write where it stands."""
    return [sys.executable, "-m", "afdcli", "classify", str(photos), *network, "--weights", "none", "--workers", "0"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_are_those_of_a_file(command, tmp_path, kind):
    subprocess.run([*command, "-o", tmp_path / f"rows.{kind}", "-q"], check=True)
    done = subprocess.run([*command, "-o", "-", "--format", kind], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == (tmp_path / f"rows.{kind}").read_bytes()
    assert b"6 of 6 photos" in done.stderr and b"standard output" in done.stderr
    assert not (tmp_path / "-").exists()


def test_a_reader_may_go(command, tmp_path, photos):
    for number in range(300):
        (photos / f"x{number:03}.jpg").write_bytes((photos / "a.jpg").read_bytes())
    process = subprocess.Popen([*command, "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout.readline().startswith(b"path,status")
    assert process.stdout.readline().startswith(b"a.jpg,ok")
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_where_rows_cannot_go_it_says_so(command, tmp_path, where):
    shell = ["sh", "-c", f'"$@" {where}', "sh", *command, "-o", "-"]
    done = subprocess.run(shell, stderr=subprocess.PIPE, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"afd: Standard output cannot be written: ") and done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("name", ["resume", "overwrite", "gallery"])
def test_what_needs_a_file_is_refused(name):
    with pytest.raises(WrongUse, match=f"--{name} needs the rows in a file"):
        ClassifyOptions(("photos",), Path("-"), **{name: True})


def test_a_files_ending_is_its_format():
    with pytest.raises(WrongUse, match=r"--format is about standard output, and 'rows.csv' is named otherwise"):
        ClassifyOptions(("photos",), Path("rows.csv"), format="jsonl")
