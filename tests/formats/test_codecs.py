"""The table of codecs is all that afd knows of them: a row more is a codec more."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from afdcli.commands.classify import Classification
from afdcli.commands.degrade import Degrading
from afdcli.commands.evaluate import Evaluation
from afdcli.errors import AfdError, UnreadableImage, WrongUse
from afdcli.formats import codecs
from afdcli.options import (
    QUALITIES,
    SUBSAMPLED,
    SUBSAMPLINGS,
    ClassifyOptions,
    Compression,
    Degradation,
    DegradeOptions,
    EvaluateOptions,
    ModelOptions,
    ReadOptions,
)
from afdcli.photos import reading
from afdcli.photos.damage import encode
from afdcli.photos.kinds import IMAGE_ENDINGS

torch.set_num_threads(1)


def test_every_codec_has_all_it_needs():
    assert list(codecs.CODECS) == list(codecs.versions()) == list(QUALITIES)
    endings = [ending for codec in codecs.CODECS.values() for ending in codec.endings]
    assert len(set(endings)) == len(endings) and set(endings) <= IMAGE_ENDINGS


def test_what_the_options_say_is_in_the_table():
    assert dict(QUALITIES) == {name: codec.qualities for name, codec in codecs.CODECS.items()}
    assert SUBSAMPLINGS == ("4:4:4", "4:2:2", "4:2:0")
    assert SUBSAMPLED == ("jpeg", "avif", "heic")
    assert all(Compression.subsampling in codec.subsamplings for codec in codecs.CODECS.values())


def test_a_row_more_is_checked_and_told(monkeypatch):
    row = replace(codecs.CODECS["jpeg"], qualities=range(3, 8), subsamplings=("4:2:0",), help="a scale of its own")
    monkeypatch.setitem(codecs.CODECS, "new", row)
    assert str(Compression("new", 7)) == "new:7"
    with pytest.raises(WrongUse, match="NEW takes qualities from 3 to 7, not 8"):
        Compression("new", 8)
    with pytest.raises(WrongUse, match="--subsampling must be one of 4:2:0"):
        Compression("new", 7, "4:4:4")
    with pytest.raises(WrongUse, match="The nearest is 'new'"):
        Compression("news", 7)
    assert codecs.scales().endswith("new (3 to 7: a scale of its own)")
    assert codecs.versions()["new"] == codecs.versions()["jpeg"]


ADDED = """
import sys
from dataclasses import replace
from afdcli.formats.codecs import CODECS
CODECS["new"] = replace(CODECS["jpeg"], endings=(".new",), qualities=range(3, 8), help="a scale of its own")
from afdcli.cli.app import main
main()
"""


WIDE = {**os.environ, "COLUMNS": "400", "TERM": "dumb"}


def afd_with_a_row_more(*args):
    run = subprocess.run([sys.executable, "-c", ADDED, *args], capture_output=True, text=True, env=WIDE)
    return run.returncode, " ".join((run.stdout + run.stderr).split())


@pytest.mark.slow
def test_a_row_more_is_all_that_the_command_needs(photo, tmp_path):
    source, copies = tmp_path / "photos", tmp_path / "copies"
    source.mkdir()
    photo.save(source / "a.new", "JPEG")
    _, told = afd_with_a_row_more("degrade", "--help")
    assert "new (3 to 7: a scale of its own)" in told
    code, told = afd_with_a_row_more("degrade", str(source), str(copies), "--level", "new:5", "--workers", "0")
    assert code == 0, told
    read = reading.read_rgb(str(source / "a.new"), ReadOptions())
    assert (copies / "new-5" / "a.new").read_bytes() == encode(read.image, Compression("jpeg", 5))
    assert afd_with_a_row_more("degrade", str(source), str(copies), "--level", "new:9")[0] == 2


@pytest.mark.parametrize("codec", QUALITIES)
def test_every_codec_is_at_hand(codec):
    codecs.require(codec)
    assert codecs.CODECS[codec].provider()


@pytest.mark.parametrize("codec", ["avif", "heic", "jxl"])
def test_a_codec_whose_plugin_is_missing_is_refused_with_the_package(photo, codec, monkeypatch):
    data = encode(photo, Compression(codec, 50))
    assert codecs.missing_package(data) is None
    absent = replace(codecs.CODECS[codec], provider=lambda: None)
    monkeypatch.setitem(codecs.CODECS, codec, absent)
    with pytest.raises(AfdError, match=f"pip install {absent.package}"):
        codecs.require(codec)
    assert codecs.missing_package(data) == absent.package
    monkeypatch.setattr(reading, "FORMATS", tuple(set(reading.FORMATS) - {absent.pillow}))
    with pytest.raises(UnreadableImage, match=f"of a format that needs: pip install {absent.package}"):
        reading.decode_rgb(data, ReadOptions())


def scale(codec, share):
    """The quality that is at `share` of the codec's scale."""
    return QUALITIES[codec][int(share * (len(QUALITIES[codec]) - 1))]


@pytest.mark.slow
@pytest.mark.parametrize("codec", QUALITIES)
def test_every_codec_goes_through_classify_evaluate_and_degrade(photo, codec, tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), tmp_path / "network.safetensors")
    model = ModelOptions("test_resnet", tmp_path / "network.safetensors", "cpu")
    level = Compression(codec, scale(codec, 0.3))
    (tmp_path / "photos").mkdir()
    photo.save(tmp_path / "photos" / "a.png")
    degrading = Degrading(
        DegradeOptions(tmp_path / "photos", tmp_path / "copies", (Degradation(((level,),)),), workers=0)
    )
    assert [copy.row["error"] for _, copies in degrading.copies() for copy in copies] == [None]
    folder = tmp_path / "copies" / f"{codec}-{level.quality}"
    assert [path.name for path in folder.iterdir()] == [f"a.png{codecs.CODECS[codec].endings[0]}"]
    rows = list(Classification(ClassifyOptions((str(folder),), tmp_path / "p.csv", model=model, workers=0)).rows())
    assert [(row["status"], row["format"]) for row in rows] == [("ok", codecs.CODECS[codec].pillow)]
    run = Evaluation(EvaluateOptions(tmp_path / "photos", tmp_path / "a.csv", (level,), model=model, workers=0))
    assert [one.error for one in run.photos()] == [""]
    assert [row["codec"] for row in run.rows()] == ["clean", codec]
