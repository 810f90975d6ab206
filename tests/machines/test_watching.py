"""What takes long is named while it does, and once."""

import time
from functools import partial

import pytest

from afdcli.machines import watching
from afdcli.machines.processes import ordered_map

pytestmark = pytest.mark.slow


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def test_what_takes_long_is_told_while_it_does(monkeypatch):
    told = []
    monkeypatch.setattr(watching, "LONG", 0.5)
    monkeypatch.setattr(watching, "EACH", 0.1)
    monkeypatch.setattr(watching, "tell", told.append)
    items = [0.0, 0.01, 2.0, 0.02, 0.03, 1.5, 0.04]
    found = []
    for result in ordered_map(sleep, items, workers=2, crashed=partial(max)):
        found.append(result)
        if result == 2.0:
            assert 2.0 in told
    assert found == items
    assert sorted(told) == [1.5, 2.0]


def test_nobody_needs_to_know():
    assert watching.tell is None
    assert list(ordered_map(sleep, [0.0, 0.1], workers=1, crashed=partial(max))) == [0.0, 0.1]
