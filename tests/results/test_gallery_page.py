import base64
import hashlib
import re

import pytest
from webpages import HOSTILE, Elements

from afdcli.errors import OutputRefused
from afdcli.formats.rows import FORMATS, Csv, JsonLines
from afdcli.results.gallery import Shown, classes, page, read_predictions
from afdcli.results.predictions import columns

COLUMNS = columns(2, uses_quality=False, estimates_drift=True)


def row(name, label="cat", **other):
    values = dict.fromkeys(COLUMNS) | {"path": name, "status": "ok", "label_1": label, "index_1": 3, "prob_1": 0.9}
    return values | {"label_2": "dog", "index_2": 4, "prob_2": 0.05, "drift": 1.5} | other


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_labels_are_text_wherever_they_stand(name):
    plain, hostile = Elements(page("rows", [Shown(row("a.jpg"))])), Elements(page(name, [Shown(row(name, name))]))
    assert hostile.names == plain.names and hostile.attributes == plain.attributes
    (entry,) = hostile.data["photos"]
    assert entry["name"] == name and entry["classes"][0] == [name, 0.9]


def test_its_policy_allows_its_own_parts_alone():
    text = page("rows", [Shown(row("a.jpg"))])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy and "*" not in policy
    for kind, end in (("style", "</style>"), ("script", "</script>\n</body>")):
        part = text[text.rindex(f"<{kind}>") + len(kind) + 2 : text.rindex(end)]
        assert f"sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}" in policy


@pytest.mark.parametrize("ending", FORMATS)
def test_rows_are_read_with_their_types_whatever_the_format(tmp_path, ending):
    rows = [row("a,\n'b.jpg"), row("c.jpg", status="error", error="cut off", label_1=None, prob_1=None)]
    path = tmp_path / f"rows{ending}"
    if FORMATS[ending].whole:
        FORMATS[ending].whole.write(path, COLUMNS, iter(rows))
    else:
        lines = FORMATS[ending].lines(COLUMNS)
        assert isinstance(lines, Csv | JsonLines)
        path.write_bytes(lines.head + b"".join(map(lines.encode, rows)))
    assert [dict(one) for one in read_predictions(path)] == rows


@pytest.mark.parametrize(
    "content", [b"", b"path,status\n", b"path,status\na,ok\n", b"path,status,label_1\na\n", b"\xff\xfe\x00", b"x\n1\n"]
)
def test_what_is_no_result_is_refused(tmp_path, content):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(OutputRefused, match=r"rows\.csv"):
        read_predictions(tmp_path / "rows.csv")
    with pytest.raises(OutputRefused, match="No such file"):
        read_predictions(tmp_path / "other.csv")


def test_classes_are_those_that_there_are():
    assert classes(row("a.jpg")) == [("cat", 0.9), ("dog", 0.05)]
    assert classes(row("a.jpg", label_1=None)) == []
