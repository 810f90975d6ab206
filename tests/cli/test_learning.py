"""What is said while a module is trained."""

from pathlib import Path

import pytest

from afdcli.cli import learning, progress
from afdcli.commands.train import Step
from afdcli.training.glances import Glance


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def follow(clock, seconds, glances=(), total=10_000, quiet=False):
    """Steps of so many `seconds`, and a glance after some of the first."""
    with progress.Tracker(total, "steps", True) as tracker:
        said = learning.Said(tracker, total, Path("m.last.safetensors"), quiet)
        for number in range(1, 31):
            clock[0] += seconds
            tracker.reach(number, "")
            said.after(Step(number, {"loss": 1.0}, None, dict(glances).get(number)))


def test_a_long_training_says_early_what_it_takes_and_what_would_take_less(clock, capsys):
    follow(clock, 10.0)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "All 10,000 steps take about 27 h 40 min here, 10 s each."
    assert second.startswith("An hour is --steps 360, and 10 minutes --steps 60:")


def test_a_short_training_says_what_it_takes_alone(clock, capsys):
    follow(clock, 2.0, total=100)
    assert capsys.readouterr().err == "All 100 steps take about 3 min here, 2 s each.\n"


def test_a_line_says_what_is_won_back_and_one_alone_that_more_time_hardly_pays(clock, capsys):
    glances = {
        3: Glance(60.0, -12.4, -3.0, pays=True),
        4: Glance(121.0, 41.2, 30.0, pays=True),
        5: Glance(180.0, None, 31.0, pays=False),
        6: Glance(240.0, 41.2, 31.0, pays=False),
    }
    follow(clock, 0.1, glances)
    lines = capsys.readouterr().err.splitlines()
    assert (
        "step 3, 1 min: 12 % of the classes that compression changes lost beside them, predictions 3 % further"
        in (lines[0])
    )
    assert "step 4, 2 min: 41 % of the classes that compression changes won back, predictions 30 % nearer" in lines[1]
    assert lines[2].startswith("step 5, 3 min: compression changes no class, ")
    assert lines[3].startswith("More time hardly pays by now") and "m.last.safetensors" in lines[3]
    assert len(lines) == 5


def test_quiet_says_nothing(clock, capsys):
    follow(clock, 10.0, {3: Glance(60.0, 1.0, 1.0, pays=False)}, quiet=True)
    assert capsys.readouterr().err == ""
