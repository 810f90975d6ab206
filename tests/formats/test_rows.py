"""A row comes back from its bytes as it was, with its types, in every format; and what is no such row is refused."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdcli.errors import OutputRefused
from afdcli.formats import rows
from afdcli.formats.rows import FORMATS, Csv, JsonLines

COLUMNS = {"path": str, "count": int, "share": float, "good": bool}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
ROWS = st.fixed_dictionaries(
    {
        "path": TEXT,
        "count": st.none() | st.integers(-(2**62), 2**62),
        "share": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "good": st.none() | st.booleans(),
    }
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(given=st.lists(ROWS, max_size=4), torn=st.binary(max_size=5).filter(lambda data: b"\n" not in data))
@pytest.mark.parametrize("kind", [Csv, JsonLines])
def test_rows_come_back_as_they_were_and_what_is_torn_does_not_count(kind, given, torn):
    lines = kind(COLUMNS)
    data = b"".join(map(lines.encode, given)) + torn
    assert list(map(lines.decode, lines.split(io.BytesIO(data)))) == given


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_null_in_json(value):
    def refuse(name):
        pytest.fail(f"{name} is no JSON")

    record = JsonLines(COLUMNS).encode({"path": "NaN", "count": 1, "share": value, "good": True})
    assert json.loads(record, parse_constant=refuse) == {"path": "NaN", "count": 1, "share": None, "good": True}


@pytest.mark.parametrize("ending", FORMATS)
def test_a_row_read_again_has_the_types_of_its_columns(ending, tmp_path):
    expected = [
        {"path": "12", "count": 12, "share": 1.0, "good": False},
        {"path": "true", "count": None, "share": None, "good": None},
    ]
    lines, whole = FORMATS[ending].lines(COLUMNS), FORMATS[ending].whole
    found = [lines.decode(lines.encode(row)) for row in expected]
    if whole is not None:
        pytest.importorskip("pyarrow")
        whole.write(tmp_path / f"rows{ending}", COLUMNS, iter(found))
        found = list(whole.read(tmp_path / f"rows{ending}"))
    assert found == expected
    assert [list(map(type, row.values())) for row in found] == [list(map(type, row.values())) for row in expected]


def test_the_bytes_are_what_other_programs_read():
    row = {"path": 'a "b",\r\nc', "count": 1, "share": 0.25, "good": True}
    lines = Csv(COLUMNS)
    (found,) = csv.DictReader(io.StringIO((lines.head + lines.encode(row)).decode(), newline=""))
    assert found == {"path": row["path"], "count": "1", "share": "0.25", "good": "true"}
    assert json.loads(JsonLines(COLUMNS).encode(row)) == row


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (Csv, b"a.jpg,1,0.5\n"),
        (Csv, b"a.jpg,1,0.5,true,more\n"),
        (Csv, b"a.jpg,one,0.5,true\n"),
        (Csv, b"a.jpg,1,a lot,true\n"),
        (Csv, b"a.jpg,1,0.5,yes\n"),
        (Csv, b"\xff,1,0.5,true\n"),
        (JsonLines, b"{\n"),
        (JsonLines, b"[1]\n"),
        (JsonLines, b'{"path": "a.jpg"}\n'),
        (JsonLines, b"\xff\n"),
    ],
)
def test_what_is_no_row_of_the_columns_is_refused(kind, record):
    with pytest.raises(ValueError):
        kind(COLUMNS).decode(record)


def test_a_format_whose_package_is_missing_is_refused_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(rows, "find_spec", lambda _: None)
    for ending, format_ in FORMATS.items():
        if format_.package:
            with pytest.raises(OutputRefused, match=r"pip install 'afd-dedrift\[parquet\]'"):
                format_.require()
        else:
            assert ending in (".csv", ".jsonl")
            format_.require()
