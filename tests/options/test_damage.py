"""Levels of damage as text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdcli.errors import WrongUse
from afdcli.formats.codecs import CODECS
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


@pytest.mark.slow
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


def test_settings_of_the_encoder_come_after_another_colon():
    assert levels_of("avif:30:speed=4,subsampling=4:4:4") == (Compression("avif", 30, "4:4:4", (("speed", "4"),)),)
    assert levels_of("webp: 50 , 20 : method = 6") == tuple(
        Compression("webp", quality, settings={"method": 6}) for quality in (50, 20)
    )
    assert levels_of("jpeg:10:optimize=yes", "4:2:2") == (Compression("jpeg", 10, "4:2:2", {"optimize": True}),)
    assert levels_of("jpeg:10:subsampling=4:4:4", "4:2:2") == (Compression("jpeg", 10, "4:4:4"),)


def test_what_changes_nothing_is_no_setting():
    assert levels_of("webp:50:method=4") == WEBP[:1]
    assert levels_of("jpeg:10:optimize=no,progressive=yes") == levels_of("jpeg:10:progressive=yes,optimize=no")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("avif:30:sped=4", "AVIF takes speed, subsampling, not 'sped'. The nearest is 'speed'"),
        ("webp:50:metod=6", "WEBP takes method, sharp, not 'metod'. The nearest is 'method'"),
        ("webp:50:subsampling=4:4:4", "WEBP takes method, sharp, not 'subsampling'"),
        ("jp2:30:effort=1", "JP2 takes nothing beside its quality, not 'effort'"),
        ("jxl:50:effort=11", "JXL's effort must be one of 1, 2,"),
        ("jpeg:30:optimize=maybe", "JPEG's optimize must be one of no, yes, not 'maybe'"),
        ("jpeg:30:subsampling=4:1:1", "--subsampling must be one of"),
        ("avif:30:", "--level takes settings such as"),
        ("avif:30:speed", "--level takes settings such as"),
        ("avif:30:speed=", "--level takes settings such as"),
        ("avif:30:speed=4,", "AVIF's speed must be one of"),
        ("avif:30:speed=4,speed=5", "each setting once"),
        ("avif::speed=4", "--level takes a codec and its qualities"),
        ("jpeg:30:qtables=nowhere.txt", "qtables=nowhere.txt cannot be read: No such file"),
        ("webp:30:qtables=nowhere.txt", "WEBP takes method, sharp, not 'qtables'"),
    ],
)
def test_a_setting_that_there_is_not_is_refused(text, said):
    with pytest.raises(WrongUse) as refused:
        levels_of(text)
    assert said in str(refused.value)


def settings(codec):
    row = CODECS[codec]
    extras = {name: st.sampled_from(sorted(setting.values)) for name, setting in row.extras.items()}
    return st.builds(
        Compression,
        st.just(codec),
        st.sampled_from(row.qualities),
        st.sampled_from(row.subsamplings),
        st.fixed_dictionaries({}, optional=extras),
    )


@pytest.mark.slow
@given(st.sampled_from(sorted(CODECS)).flatmap(settings), st.sampled_from(["4:2:0", "4:4:4"]))
def test_a_level_with_settings_and_its_text_and_record_are_the_same(level, subsampling):
    if level.subsampling != Compression.subsampling:
        assert levels_of(str(level), "4:2:2") == (level,)
    assert levels_of(str(level)) == (level,)
    once = Degradation(((level,),))
    assert Degradation.of_record(json.loads(json.dumps(once.recorded()))) == once


def test_rows_and_folders_tell_the_settings():
    (level,) = levels_of("avif:30:speed=4,subsampling=4:4:4")
    once = Degradation(((level,),))
    assert (once.name, once.kind) == ("avif-30-444-speed=4", "avif 4:4:4 speed=4")
    assert Degradation((WEBP[:1],)).recorded() == {
        "chain": (({"codec": "webp", "quality": 50, "subsampling": "4:2:0"},),),
        "shift": False,
    }, "as manifests of before have it"


def test_quantisation_tables_are_read_once_and_told_by_name_and_numbers(tmp_path):
    file = tmp_path / "for, networks.txt"
    file.write_text("# luma\n" + "16 " * 64 + "\n# chroma\n" + "17,\n" * 64)
    (level,) = levels_of(f"jpeg:30:qtables={file},optimize=yes")
    assert level.tables.luma == (16,) * 64 and level.tables.chroma == (17,) * 64
    once = Degradation(((level,),))
    assert once.kind == f"jpeg optimize=yes,qtables={level.tables.name}"
    assert level.tables.name.startswith("for_networks-")
    assert Degradation.of_record(json.loads(json.dumps(once.recorded()))) == once
    file.write_text("16 " * 128)
    assert levels_of(f"jpeg:30:qtables={file}")[0].tables.name != level.tables.name
    with pytest.raises(WrongUse, match="WEBP takes no quantisation tables"):
        Compression("webp", 30, tables=level.tables)


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "16 " * 127, "16 " * 129, "16 " * 127 + "0", "16 " * 127 + "x", "-1 " * 128]
)
def test_what_is_no_table_is_refused(text, tmp_path):
    (tmp_path / "tables.txt").write_text(text)
    with pytest.raises(WrongUse, match="must have two 8x8 tables"):
        levels_of(f"jpeg:30:qtables={tmp_path / 'tables.txt'}")
