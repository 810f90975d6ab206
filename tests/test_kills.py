"""SIGKILL at random moments, and going on: the results are those of a run that was left in peace."""

import csv
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from sessions import session

from afdcli.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")]

PHOTOS, KILLS = 200, 3
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.


@pytest.fixture
def photos(tmp_path):
    """Many photos that take little space: three, linked again and again, in several folders."""
    for number in range(PHOTOS):
        path = tmp_path / "photos" / str(number // 67) / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 3:
            coarse = np.random.default_rng(number).integers(0, 256, (5, 7, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((96, 80)).save(path)
        else:
            os.link(tmp_path / "photos" / "0" / f"{number % 3:03}.jpg", path)
    return tmp_path / "photos"


def in_peace(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["afd", *map(str, args), "--quiet", "--workers", "0"])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert not end.value.code


def rows_in(path):
    return path.read_bytes().count(b"\n") - 1 if path.exists() else -1


def kill(*args, output, rows):
    """Run `afd`, and kill it once `output` has more than `rows` rows; wait until its workers have followed it."""
    command = [sys.executable, "-m", "afdcli", *map(str, args), "--workers", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ONE_THREAD, start_new_session=True
    )
    while process.poll() is None and rows_in(output) <= rows:
        time.sleep(0.001)
    time.sleep(random.random() / 50)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.stdout.read().decode()
    process.stdout.close()
    deadline = time.monotonic() + 20
    while session(process.pid):
        assert time.monotonic() < deadline, "its workers live on"
        time.sleep(0.02)


def moments(most):
    """Numbers of rows after which to kill, the earliest first."""
    return sorted(random.sample(range(-1, most), KILLS))


def tree(folder):
    """All files and their bytes; records are left out, for they hold the command as it was typed."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix != ".json"]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def test_classify_killed_again_and_again_ends_with_the_same_rows(photos, network, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    in_peace(monkeypatch, "classify", photos, "-o", whole, *network)
    when = moments(140)
    for rows in when:
        kill("classify", photos, "-o", killed, "--resume", *network, output=killed, rows=rows)
        with killed.open(newline="") as file:
            assert len(list(csv.reader(file))) > rows
    in_peace(monkeypatch, "classify", photos, "-o", killed, "--resume", *network)
    assert killed.read_bytes() == whole.read_bytes(), f"killed after {when} rows"
    assert sorted(path.name for path in tmp_path.glob("killed*")) == [
        "killed.csv",
        "killed.csv.json",
        "killed.csv.stamps",
    ]


def test_degrade_killed_again_and_again_ends_with_the_same_tree(photos, tmp_path, monkeypatch):
    flags = ("--qf", "10", "--qf", "25", "--passes", "5", "--shift")
    in_peace(monkeypatch, "degrade", photos, tmp_path / "whole", *flags)
    killed = tmp_path / "killed"
    when = moments(140)
    for rows in when:
        kill("degrade", photos, killed, *flags, output=killed / "jpeg-25-passes-5-shift.csv", rows=rows)
    in_peace(monkeypatch, "degrade", photos, killed, *flags)
    assert tree(killed) == tree(tmp_path / "whole"), f"killed after {when} rows"
    assert len(list(killed.iterdir())) == 6
