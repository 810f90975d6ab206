"""Options are checked once, and every refusal names the flag."""

from collections import Counter
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from afdcli.errors import WrongUse
from afdcli.formats import codecs
from afdcli.options import (
    PRESETS,
    QUALITIES,
    ClassifyOptions,
    Compression,
    Degradation,
    DegradeOptions,
    EvaluateOptions,
    ModelOptions,
    ReadOptions,
    TrainOptions,
    build,
    degradations,
)

JPEG_10, JPEG_25 = Compression("jpeg", 10), Compression("jpeg", 25)
AVIF_10 = Compression("avif", 10)
ONCE = Degradation(((JPEG_10,),))


@pytest.mark.parametrize(
    ("codec", "lowest", "highest"), [("jpeg", 1, 100), ("avif", 0, 100), ("webp", 0, 100), ("jp2", 10, 60)]
)
def test_each_codec_takes_its_own_scale(codec, lowest, highest):
    for quality in range(lowest, highest + 1):
        assert Compression(codec, quality).quality == quality
    for quality in (lowest - 1, highest + 1, -5, 1000):
        with pytest.raises(WrongUse, match=rf"(?i){codec} takes qualities from {lowest} to {highest}, not {quality}"):
            Compression(codec, quality)


def test_scales_are_listed_for_every_codec():
    assert set(QUALITIES) == {"jpeg", "avif", "webp", "jp2", "jxl", "heic"}


def test_unknown_codec_is_refused_with_those_known():
    with pytest.raises(WrongUse, match=r"jpeg, avif, webp, jp2, jxl, heic, .*not 'gif'"):
        Compression("gif", 50)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_subsamplings_are_taken(subsampling):
    assert Compression("jpeg", 50, subsampling).subsampling == subsampling


def test_subsampling_is_420_unless_asked():
    assert JPEG_10.subsampling == "4:2:0"


@pytest.mark.parametrize(
    ("flag", "make"),
    [
        ("--subsampling", lambda: Compression("jpeg", 50, "4:1:1")),
        ("--subsampling", lambda: Compression("webp", 50, "4:4:4")),
        ("--exif", lambda: ReadOptions(exif="yes")),
        ("--icc", lambda: ReadOptions(icc="yes")),
        ("--max-pixels", lambda: ReadOptions(max_pixels=0)),
        ("--batch-size", lambda: ModelOptions(batch_size=0)),
        ("--output", lambda: ClassifyOptions(("a",), Path("a.txt"))),
        ("--output", lambda: ClassifyOptions(("a",), Path("csv"))),
        ("--topk", lambda: ClassifyOptions(("a",), topk=0)),
        ("--workers", lambda: ClassifyOptions(("a",), workers=-1)),
        ("--output", lambda: EvaluateOptions(Path("a"), Path("a.parquet"))),
        ("--order", lambda: EvaluateOptions(Path("a"), order="crop")),
        ("--workers", lambda: EvaluateOptions(Path("a"), workers=-1)),
        ("--passes", lambda: EvaluateOptions(Path("a"), passes=(1, 0))),
        ("--passes", lambda: EvaluateOptions(Path("a"), passes=())),
        ("--weights", lambda: EvaluateOptions(Path("a"), weights=())),
        ("--degraded", lambda: EvaluateOptions(Path("a"), degraded=Path("b"), levels=(JPEG_10,))),
        ("--degraded", lambda: EvaluateOptions(Path("a"), degraded=Path("b"), passes=(2,))),
        ("--jpeg", lambda: EvaluateOptions(Path("a"), levels=(JPEG_10, JPEG_25, JPEG_10))),
        ("--passes", lambda: EvaluateOptions(Path("a"), passes=(2, 2))),
        ("--qf", lambda: DegradeOptions(Path("a"), Path("b"), ())),
        ("--size", lambda: DegradeOptions(Path("a"), Path("b"), (ONCE,), size=0)),
        ("--workers", lambda: DegradeOptions(Path("a"), Path("b"), (ONCE,), workers=-1)),
        ("--passes", lambda: degradations((JPEG_10,), 0, False)),
        ("--seed", lambda: DegradeOptions(Path("a"), Path("b"), (ONCE,), seed=-1)),
        ("--seed", lambda: EvaluateOptions(Path("a"), seed=-1)),
        ("--rank", lambda: TrainOptions(("a",), weights="auto", rank=0)),
        ("--width", lambda: TrainOptions(("a",), weights="a.safetensors", width=8)),
    ],
)
def test_refusal_names_the_flag(flag, make):
    with pytest.raises(WrongUse) as refusal:
        make()
    assert flag in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_nothing_to_classify_is_refused():
    with pytest.raises(WrongUse, match="at least one"):
        ClassifyOptions(())


def test_the_same_degradation_twice_is_refused():
    with pytest.raises(WrongUse, match="same"):
        DegradeOptions(Path("a"), Path("b"), (ONCE, Degradation(((JPEG_10,),))))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "A.CSV"])
def test_results_go_to_three_kinds_of_file(name):
    assert ClassifyOptions(("a",), Path(name)).output == Path(name)


def test_the_least_asked_for_is_complete():
    assert ClassifyOptions(("photos",)).topk == 5
    assert EvaluateOptions(Path("photos")).levels == ()
    assert DegradeOptions(Path("photos"), Path("copies"), (ONCE,)).size is None


def test_options_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        JPEG_10.quality = 20


@pytest.mark.parametrize(
    ("degradation", "name"),
    [
        (ONCE, "jpeg-10"),
        (Degradation(((AVIF_10,),)), "avif-10"),
        (Degradation(((JPEG_25,), (JPEG_10,))), "jpeg-25-10"),
        (Degradation(((JPEG_10, JPEG_25), (JPEG_10, JPEG_25), (JPEG_10,))), "jpeg-10-passes-3"),
        (Degradation(((JPEG_25,), (JPEG_10,)), shift=True), "jpeg-25-10-shift"),
        (Degradation(((JPEG_10, JPEG_25), (JPEG_25,)), shift=True), "jpeg-25-passes-2-shift"),
        (Degradation(((JPEG_10,),), shift=True), "jpeg-10"),  # With one pass there is nothing to shift between.
    ],
)
def test_a_degradation_names_its_folder(degradation, name):
    assert degradation.name == name


def test_a_single_pass_is_the_level_itself():
    assert degradations((JPEG_10, AVIF_10), 1, False) == (ONCE, Degradation(((AVIF_10,),)))


def test_earlier_passes_are_drawn_from_the_levels_of_the_same_codec():
    first, second, third = degradations((JPEG_10, AVIF_10, JPEG_25), 3, True)
    assert first == Degradation(((JPEG_10, JPEG_25), (JPEG_10, JPEG_25), (JPEG_10,)), True)
    assert second == Degradation(((AVIF_10,), (AVIF_10,), (AVIF_10,)), True)
    assert third.last == JPEG_25
    assert third.passes == 3


def test_the_rate_preset_has_every_codec_that_is_installed_and_fewer_where_asked(monkeypatch):
    rate = build(EvaluateOptions, {"dataset": "photos", **PRESETS["rate"]})
    assert {level.codec for level in rate.levels} == set(QUALITIES) and rate.order == "compress-first"
    counts = Counter(level.codec for level in rate.levels)
    assert 7 <= min(counts.values()) <= max(counts.values()) <= 9
    narrowed = build(EvaluateOptions, {"dataset": "photos", **PRESETS["rate"], "codecs": "jpeg, avif"})
    assert {level.codec for level in narrowed.levels} == {"jpeg", "avif"}
    monkeypatch.setitem(codecs.CODECS, "heic", replace(codecs.CODECS["heic"], provider=lambda: None))
    without = build(EvaluateOptions, {"dataset": "photos", **PRESETS["rate"]})
    assert {level.codec for level in without.levels} == set(QUALITIES) - {"heic"}


def test_codecs_that_leave_no_level_are_refused():
    with pytest.raises(WrongUse, match="--codecs webp leaves nothing to measure"):
        EvaluateOptions("photos", levels="jpeg:10", codecs="webp")
    with pytest.raises(WrongUse, match=r"--codecs must be one of .* The nearest is 'webp'"):
        EvaluateOptions("photos", levels="jpeg:10", codecs="wepb")
