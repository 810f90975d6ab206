"""Rules refuse in sentences that name what is allowed, and the nearest."""

from pathlib import Path

import pytest

from afdcli.errors import WrongUse
from afdcli.options.rules import AtLeast, Between, EndsIn, MoreThan, NotEmpty, Once, OneOf, split_commas


@pytest.mark.parametrize(
    ("rule", "good", "bad", "reason"),
    [
        (OneOf("torch", "onnx"), "torch", "torhc", "must be one of torch, onnx, not 'torhc'. The nearest is 'torch'"),
        (OneOf("torch", "onnx"), "onnx", "xyz", "must be one of torch, onnx, not 'xyz'"),
        (AtLeast(1), 1, 0, "must be 1 or more, not 0"),
        (AtLeast(0), 0.0, float("nan"), "must be 0 or more, not nan"),
        (MoreThan(0), 1e-9, 0.0, "must be more than 0, not 0.0"),
        (Between(0, 1), 1, 1.5, "must lie between 0 and 1, not 1.5"),
        (EndsIn(".csv", ".jsonl"), Path("a.CSV"), Path("b/a.txt"), "must end in .csv or .jsonl, not 'a.txt'"),
        (NotEmpty(), ("a",), (), "takes at least one value"),
        (Once(), (1, 2), (1, 2, 1), "takes each value once, and has 1 twice"),
    ],
)
def test_a_rule_names_what_is_allowed(rule, good, bad, reason):
    rule.check("--flag", good)
    with pytest.raises(WrongUse) as refusal:
        rule.check("--flag", bad)
    assert str(refusal.value) == f"--flag {reason}."


@pytest.mark.parametrize(("text", "parts"), [("", []), (" ", []), ("a", ["a"]), ("a, b ,c", ["a", "b", "c"])])
def test_blanks_around_commas_do_not_count(text, parts):
    assert split_commas("--flag", text) == parts


@pytest.mark.parametrize("text", [",", "a,", ",a", "a,,b", "a, ,b"])
def test_nothing_between_commas_is_refused(text):
    with pytest.raises(WrongUse, match="--flag takes values with commas"):
        split_commas("--flag", text)
