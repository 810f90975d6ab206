"""What begins as an image, and what names are counted under."""

import pytest

from afdcli.photos.kinds import begins_as_image, ending, head_of, in_words


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("a.TGA", ".tga"), ("a", ""), ("photo.jpg.1", ""), ("image.jpg?w=640", ""), ("a.tar.gz", ".gz")),
        *(
            ("a.jpg_large", ""),
            ("a.b c", ""),
            ("x.0123456789abcdef0123", ""),
            ("e.7z", ".7z"),
            ("caf\udce9.\udce9", ""),
        ),
    ],
)
def test_what_a_name_is_counted_under(name, expected):
    assert ending(name) == expected


@pytest.mark.parametrize(
    "head", [b"", b"BM", b"BMW is a car, and no bitmap", b"P1", b"PK\3\4", b"\0\0\0\x20ftypisom", b"II*", b"GIF88a"]
)
def test_other_files_begin_otherwise(head):
    assert not begins_as_image(head)


def test_what_cannot_be_read_has_no_beginning(tmp_path):
    assert head_of(str(tmp_path)) == head_of(str(tmp_path / "none")) == head_of("a\0b") == b""


def test_few_endings_are_named():
    assert in_words({"": 1}) == "1 without an ending"
    assert in_words({f".{n}x": n + 1 for n in range(9)}).endswith("4 .3x, 6 with 3 other endings")
