"""docs/cli.md is what the flags are now."""

from pathlib import Path

from afdcli.cli import docs

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == docs.page(), "write it anew: python -m afdcli.cli.docs > docs/cli.md"


def test_the_page_says_nothing_of_this_machine():
    assert "| `--workers INTEGER` |" in docs.page()
    assert docs.page().count("| what processors and memory allow |") == docs.page().count("`--workers INTEGER`")
