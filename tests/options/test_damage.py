"""Levels of damage as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdcli.errors import WrongUse
from afdcli.options import QUALITIES, Compression, Degradation
from afdcli.options.damage import degradations_of, level_of, levels_of, sequence, whole_numbers

WEBP = (Compression("webp", 50), Compression("webp", 20))


@pytest.mark.parametrize("value", ["webp:50,20", ["webp:50", "webp:20"], WEBP, ["webp: 50 , 20"], ("webp:50", WEBP[1])])
def test_levels_are_named_by_text_or_are_there_already(value):
    assert levels_of(value) == WEBP


def test_levels_of_text_get_the_subsampling():
    assert levels_of("jpeg:10", "4:4:4") == (Compression("jpeg", 10, "4:4:4"),)


@pytest.mark.parametrize(
    "text", ["webp", "webp:", "", "webp:ten", "webp:101", "gif:10", "webp:10;20", "webp:,", ":10", 5]
)
def test_what_is_no_level_is_refused(text):
    with pytest.raises(WrongUse):
        levels_of(text)


def test_the_nearest_codec_is_named():
    with pytest.raises(WrongUse, match="The nearest is 'webp'"):
        levels_of("wepb:10")


def test_one_level_is_just_one():
    assert level_of("webp:20") == WEBP[1]
    with pytest.raises(WrongUse, match="one quality"):
        level_of("webp:50,20")


@given(
    st.sampled_from(sorted(QUALITIES)).flatmap(
        lambda codec: st.tuples(st.just(codec), st.sampled_from(QUALITIES[codec]))
    )
)
def test_a_level_and_its_text_are_the_same(level):
    assert levels_of(str(Compression(*level))) == (Compression(*level),)


def test_degradations_are_named_by_text_too():
    chain = Degradation(((WEBP[0],), (WEBP[1],)))
    assert degradations_of("webp:50,20") == (Degradation(((WEBP[0],),)), Degradation(((WEBP[1],),)))
    assert degradations_of(["webp:50", chain]) == (Degradation(((WEBP[0],),)), chain)


def test_a_sequence_is_one_save_after_the_other():
    assert sequence([25, 10], "4:2:0", False).name == "jpeg-25-10"


def test_whole_numbers_name_their_flag():
    assert whole_numbers("--jpeg", " 10, 20") == [10, 20]
    with pytest.raises(WrongUse, match=r"^--jpeg takes whole numbers with commas between them, not '10,ten'"):
        whole_numbers("--jpeg", "10,ten")
