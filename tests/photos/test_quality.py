"""The quality is read back from the tables of a JPEG."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import opened, saved

from afdcli.options import Compression
from afdcli.photos.damage import decode, encode
from afdcli.photos.quality import jpeg_quality


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_all_qualities_of_pillow_are_read_back_exactly(photo, mode):
    small = photo.resize((16, 16)).convert(mode)
    for quality in range(1, 101):
        assert jpeg_quality(opened(saved(small, quality=quality)).quantization) == (quality, True)


def test_our_own_files_have_standard_tables(photo):
    for quality in range(1, 101):
        tables = opened(encode(photo.resize((16, 16)), Compression("jpeg", quality, "4:4:4"))).quantization
        assert jpeg_quality(tables) == (quality, True)


@pytest.mark.slow
def test_it_is_the_quality_of_the_last_save(photo):
    assert jpeg_quality(opened(saved(decode(saved(photo, quality=20)), quality=90)).quantization) == (90, True)


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"subsampling": "4:4:4"}])
def test_other_settings_do_not_change_the_quality(photo, options):
    assert jpeg_quality(opened(saved(photo, quality=37, **options)).quantization) == (37, True)


@pytest.mark.parametrize("quality", [5, 50, 80, 95])
@pytest.mark.parametrize("table", [0, 1])
def test_tables_a_little_off_are_near_and_not_exact(photo, quality, table):
    tables = {number: list(entries) for number, entries in opened(saved(photo, quality=quality)).quantization.items()}
    tables[table][20] += 1
    data = saved(photo, qtables=[tables[0], tables[1]])
    assert opened(data).quantization == tables
    assert jpeg_quality(opened(data).quantization) == (quality, False)


@pytest.mark.parametrize("entry", [1, 2, 9, 60, 255])
def test_foreign_tables_are_matched_by_least_squares(photo, entry):
    small = photo.resize((16, 16))
    found, exact = jpeg_quality(opened(saved(small, qtables=[[entry] * 64, [entry] * 64])).quantization)
    errors = [
        sum(
            (value - entry) ** 2
            for table in opened(saved(small, quality=quality)).quantization.values()
            for value in table
        )
        for quality in range(1, 101)
    ]
    assert errors[found - 1] == min(errors)
    assert exact == (min(errors) == 0)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(1, 65535), min_size=64, max_size=64), min_size=1, max_size=4))
def test_any_tables_have_a_quality(tables):
    quality, exact = jpeg_quality(dict(enumerate(tables)))
    assert 1 <= quality <= 100
    assert exact in (True, False)
