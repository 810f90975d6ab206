"""docs/columns.md describes every column of every output, in their order, and nothing else."""

import re
from pathlib import Path

import pytest

from afdcli.commands.train import LOG_COLUMNS
from afdcli.results import accuracy, copies, outcomes, predictions, rate, smallest

COLUMNS = {
    "afd classify": predictions.columns(1, uses_quality=True, estimates_drift=True, reads_truncated=True),
    "afd evaluate": accuracy.COLUMNS,
    "afd evaluate --per-photo": [
        name for name in outcomes.columns(reads_truncated=True) if not re.search("_[2-9]$", name)
    ],
    "afd evaluate --compare": rate.COLUMNS,
    "afd evaluate --lose": smallest.COLUMNS,
    "afd degrade": copies.COLUMNS | copies.COMPLETE,
    "afd train": LOG_COLUMNS,
}
PAGE = (Path(__file__).parents[2] / "docs" / "columns.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_each_output_has_its_section():
    assert list(SECTIONS) == list(COLUMNS)


@pytest.mark.parametrize("command", COLUMNS)
def test_each_column_is_described_once_and_nothing_else_is(command):
    described = re.findall(r"^\| `(\w+)` \| .+ \|$", SECTIONS[command], re.MULTILINE)
    assert described == list(COLUMNS[command])


def test_the_readme_names_no_column_of_classify_that_there_is_not():
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    table = readme.split("Every file gets a row")[1].split("Rows are written")[0]
    named = {
        name for cells in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cells)
    }
    assert named <= set(COLUMNS["afd classify"]) and len(named) > 8
