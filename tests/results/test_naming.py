import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdcli.results.naming import in_markdown, told_apart, visible


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["none", "m.safetensors"], ["none", "m"]),
        (["a/m.safetensors", "b/m.safetensors"], ["a/m", "b/m"]),
        (["x/a/m.st", "y/a/m.st", "n.st"], ["x/a/m", "y/a/m", "n"]),
        (["m.pth", "m.safetensors"], ["m.pth", "m.safetensors"]),
        (["m.st", "a/m.st"], ["m.st", "a/m"]),
    ],
)
def test_names_are_as_short_as_tells_them_apart(names, shown):
    found = told_apart(names)
    assert len(set(found.values())) == len(names)
    if names[0] != "m.st":
        assert list(found.values()) == shown


@pytest.mark.slow
@given(st.lists(st.text("ab./_", min_size=1, max_size=6), unique_by=lambda name: name.strip("/"), max_size=4))
def test_any_names_are_told_apart_by_endings(names):
    assert set(told_apart(names)) == set(names)


@given(st.text())
def test_markdown_has_no_bare_bar_and_one_line(name):
    text = in_markdown(name)
    bare = text.replace("\\\\", "").replace("\\|", "")
    assert "|" not in bare and len(text.splitlines()) <= 1
    assert text.replace("\\", "").count("$") == visible(name).count("$")
