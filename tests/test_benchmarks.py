"""Each benchmark still starts: what it imports is there, and it says what it measures."""

import subprocess
import sys
from pathlib import Path

import pytest

NEEDS = {"int8": "nncf", "kill_workers": "ray"}
"""Packages that some need and no extra for tests installs."""
SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_answers_help(script):
    if script.stem in NEEDS:
        pytest.importorskip(NEEDS[script.stem])
    run = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("usage: ")
