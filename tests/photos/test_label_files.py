import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdcli.errors import WrongUse
from afdcli.photos.label_files import LARGEST, fitting, parse, read_labels
from afdcli.photos.labels import Labels

NAMES = ("crème brûlée", "cat, house cat", "7")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "text",
    [
        "\n".join(NAMES),
        "\n".join(NAMES) + "\n\n",
        json.dumps(NAMES),
        json.dumps(dict(enumerate(NAMES)), ensure_ascii=False, indent=1),
        json.dumps({str(index): NAMES[index] for index in (2, 0, 1)}),
        json.dumps({name: index for index, name in enumerate(NAMES)}),
    ],
)
def test_a_list_of_names_is_read_as_people_have_it(text, end, encoding, tmp_path):
    text = text.replace("\n", end)
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-mark" else text.encode(encoding)
    (tmp_path / "labels").write_bytes(data)
    assert read_labels(tmp_path / "labels") == Labels(NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "n01440764 tench, Tinca tinca\nn01443537 goldfish",
        '{"0": ["n01440764", "tench, Tinca tinca"], "1": ["n01443537", "goldfish"]}',
        '[["n01440764", "tench, Tinca tinca"], ["n01443537", "goldfish"]]',
    ],
)
def test_wordnet_ids_are_told_from_names(text):
    assert parse(text) == Labels(("tench, Tinca tinca", "goldfish"), ("n01440764", "n01443537"))
    assert parse("n01440764\nn01443537").wnids == ("n01440764", "n01443537")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no names"),
        ("[]", "no names"),
        ("{}", "no names"),
        ("cat\n\ndog", "class 1 is no name"),
        ("[1, 2]", "class 0 is no name"),
        ('["cat", null]', "class 1 is no name"),
        ('["cat", ["dog"]]', "class 1 is no name"),
        ('["cat", ["x1", "dog"]]', "class 1 is no name"),
        ('["cat", ["n01440764", "tench"]]', "some none"),
        ("[cat", "begins like JSON"),
        ("[" * 100_000, "begins like JSON"),
        ('{"0": "cat", "2": "dog"}', "do not count"),
        ('{"0": "cat", "00": "dog"}', "do not count"),
        ('{"cat": "dog"}', "do not count"),
        ('{"1": "cat", "2": "dog"}', "do not count"),
        ('{"cat": 0, "dog": 0}', "one index to two"),
        ('{"cat": 0, "dog": 2}', "do not count"),
        ('{"cat": true}', "do not count"),
        ('{"cat": 1' + "0" * 5000 + "}", "JSON|do not count"),
    ],
)
def test_what_is_no_list_of_names_is_refused(text, reason, tmp_path):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(WrongUse, match=f"--labels '.*labels.txt' cannot be used: .*{reason}"):
        read_labels(tmp_path / "labels.txt")


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "latin").write_bytes("crème".encode("latin-1"))
    with pytest.raises(WrongUse, match="no text in UTF-8"):
        read_labels(tmp_path / "latin")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(LARGEST + 1)
    for name, reason in {"none": "cannot be read", "": "cannot be read", "huge": "too large"}.items():
        with pytest.raises(WrongUse, match=reason):
            read_labels(tmp_path / name)


VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(),
    lambda one: st.lists(one) | st.dictionaries(st.text(), one),
)


@pytest.mark.slow
@given(st.text() | VALUES.map(json.dumps))
def test_any_text_is_labels_or_is_refused(text):
    try:
        found = parse(text)
    except ValueError:
        return
    assert found.names and all(isinstance(name, str) and name.strip() for name in found.names)


def test_there_are_as_many_labels_as_classes():
    assert fitting(Labels(NAMES), 3) == Labels(NAMES)
    assert fitting(Labels(("cat",)), 2, one_logit=True).names == ("not cat", "cat")
    for names, classes in ((NAMES, 4), (NAMES, 2), (("cat",), 2)):
        with pytest.raises(ValueError, match=f"{len(names)} labels for {classes} classes"):
            fitting(Labels(names), classes)
