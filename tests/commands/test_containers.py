"""Every command takes an archive, shards or a table as it takes the folder of the same photos."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from packing import parquet, tar, zipped

import afdcli
from afdcli.commands.bench import bench
from afdcli.commands.classify import Classification
from afdcli.commands.explain import drift_statistics
from afdcli.commands.train import Training
from afdcli.errors import WrongUse
from afdcli.options import IMAGENET_C, BenchOptions, ClassifyOptions, ExplainOptions, ModelOptions, TrainOptions

pytestmark = pytest.mark.slow
BATCH = 4


@pytest.fixture
def packed(tmp_path, monkeypatch, photo):
    """A folder of labelled photos, a broken one among them, and the same packed in all ways: inputs by name."""
    monkeypatch.chdir(tmp_path)
    files = {}
    for number in range(9):
        path = Path("folder", str(number % 3), f"{number}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.rotate(40 * number).save(path, quality=50 + number)
    Path("folder/1/7.jpg").write_bytes(Path("folder/1/7.jpg").read_bytes()[:900])
    files = {path.relative_to("folder").as_posix(): path.read_bytes() for path in sorted(Path("folder").rglob("*.jpg"))}
    tar(Path("a.tar"), files)
    tar(Path("a.tar.gz"), files, "w:gz")
    zipped(Path("a.zip"), files)
    parquet(Path("a.parquet"), files, [int(name[0]) for name in files])
    for number in range(3):
        sample = {name: data for name, data in files.items() if name[0] == str(number)}
        beside = {name.replace("/", "-"): data for name, data in sample.items()}
        beside |= {name.replace("jpg", "cls"): str(number).encode() for name in beside}
        tar(Path(f"s-{number}.tar"), dict(sorted(beside.items(), reverse=True)))
    return ["a.tar", "a.tar.gz", "a.zip", "a.parquet", "zip://::a.zip", "s-{0..2}.tar"]


def options(network):
    return {"backbone": network[1], "backbone_checkpoint": network[3], "device": "cpu", "batch_size": BATCH}


def but_for_the_name(rows):
    return [{name: value for name, value in row.items() if name not in ("path", "source")} for row in rows]


@pytest.mark.parametrize("workers", [0, 2])
def test_classify(packed, network, workers, tmp_path):
    given = {**options(network), "weights": "none", "workers": workers}
    here = f"{tmp_path}/"  # Processes may have begun elsewhere.
    expected = but_for_the_name(afdcli.classify(here + "folder", **given))
    assert [row["status"] for row in expected].count("error") == 1, expected[0]
    for one in ("a.tar", "a.tar.gz", "a.zip", "a.parquet"):
        for given_as in (here + one, *([f"zip://::{here}{one}"] if one == "a.zip" else [])):
            rows = list(afdcli.classify(given_as, **given))
            assert but_for_the_name(rows) == expected, one
            assert rows[0]["path"] == f"{here}{one}/0/0.jpg"
    shards = list(afdcli.classify(here + packed[5], **given))
    assert len(shards) == 9
    assert [row["path"] for row in shards][:2] == [f"{here}s-0.tar/0-6.jpg", f"{here}s-0.tar/0-3.jpg"]


def test_classify_goes_on_where_it_was(packed, network, tmp_path):
    model = ModelOptions(network[1], Path(network[3]), "cpu", BATCH)
    for number, one in enumerate(packed):
        whole, output = tmp_path / "whole.csv", tmp_path / f"{number}.csv"
        asked = ClassifyOptions((one,), whole, weights="none", model=model, workers=0, overwrite=True)
        list(Classification(asked).rows())
        interrupted = Classification(replace(asked, output=output)).rows()
        assert len(list(islice(interrupted, 5))) == 5
        interrupted.close()
        run = Classification(replace(asked, output=output, resume=True))
        assert run.already == BATCH
        list(run.rows())
        assert output.read_bytes() == whole.read_bytes()


def test_evaluate(packed, network):
    given = {**options(network), "weights": ("none",), "levels": "jpeg:20"}
    with pytest.warns(UserWarning, match=r"7\.jpg"):
        expected = afdcli.evaluate("folder", **given)
    assert expected[0]["images"] == 8 and expected[0]["top1"] is not None
    for one in packed:
        with pytest.warns(UserWarning, match=r"7\.jpg"):
            assert afdcli.evaluate(one, **given) == expected, one


def test_degrade(packed, tmp_path):
    expected = {row["source_sha256"]: row["sha256"] for row in afdcli.degrade("folder", tmp_path / "of-folder", qf=10)}
    for number, one in enumerate(packed):
        for _ in range(2):  # again, verified
            rows = afdcli.degrade(one, tmp_path / str(number), qf=10)
            assert {row["source_sha256"]: row["sha256"] for row in rows} == expected, one
        for row in rows:
            assert row["status"] == "error" or (tmp_path / str(number) / row["path"]).exists()


def test_copies_of_shards_are_found_again(packed, network, tmp_path):
    rows = afdcli.degrade("s-{0..2}.tar", tmp_path / "copies", qf=20)
    assert rows[0]["path"] == "jpeg-20/s-0.tar/0-6.jpg"
    with pytest.warns(UserWarning, match=r"7\.jpg"):
        found = afdcli.evaluate("s-{0..2}.tar", degraded=tmp_path / "copies", weights=("none",), **options(network))
    assert [row["images"] for row in found] == [8, 8]


def test_train_explain_and_bench(packed, network, dedrifted, tmp_path):
    weights, module = dedrifted
    model = ModelOptions("test_resnet", weights, "cpu", BATCH, "torch")
    for number, one in enumerate(packed):
        asked = TrainOptions(
            (one,), tmp_path / f"{number}.safetensors", steps=2, width=4, depth=1, model=model, workers=0
        )
        if one == "a.tar.gz":
            with pytest.raises(WrongUse, match=r"'a.tar.gz' is compressed, and photos are drawn from it in any order"):
                Training(asked)
        else:
            assert len(list(Training(asked).steps())) == 2
        explained = ExplainOptions(one, tmp_path / f"{number}.png", statistics=True, weights=str(module), model=model)
        assert len(list(drift_statistics(explained, IMAGENET_C[:1]))) == 8
    measured = list(bench(BenchOptions(("a.tar.gz",), "none", seconds=0.01, model=model, workers=0)))
    assert [one.part for one in measured] == [
        "decode",
        "decode, preprocess",
        "fast decode, preprocess",
        "inference",
        "end to end",
    ]
