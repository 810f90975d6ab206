"""Copies in shards: others' libraries read them, and they are the same bytes on every run, however it went."""

import csv
import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packing import tar
from PIL import Image

import afdcli
from afdcli.errors import OutputRefused

SIZE = 4


@pytest.fixture
def shards(tmp_path, monkeypatch, photo):
    """Three shards of WebDataset, one photo of which is broken: their inputs' name."""
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        files = {}
        for sample in range(3):
            buffer = io.BytesIO()
            photo.rotate(30 * (3 * number + sample)).save(buffer, "PNG")
            key = f"{number}{sample}"
            files |= {f"{key}.png": buffer.getvalue(), f"{key}.cls": str(number).encode(), f"{key}.json": b'{"a": 1}'}
        if number == 1:
            files["11.png"] = b"\x89PNG\r\n\x1a\n broken"
        tar(Path(f"s-{number}.tar"), files)
    return "s-{0..2}.tar"


def digests(folder):
    found = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".json")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def pack(source, folder="out", **options):
    return afdcli.degrade(source, folder, **{"qf": (10, 30), "to": "wds", "shard_size": SIZE, **options})


def test_webdataset_reads_them(shards):
    webdataset = pytest.importorskip("webdataset")
    rows = pack(shards)
    assert [row["status"] for row in rows].count("error") == 2
    for level in ("jpeg-10", "jpeg-30"):
        urls = [str(path) for path in sorted(Path("out", level).glob("*.tar"))]
        assert [Path(url).name for url in urls] == ["000000.tar", "000001.tar", "000002.tar"]
        found = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
        keys = [f"{n}{s}" for n in range(3) for s in range(3) if (n, s) != (1, 1)]
        assert [sample["__key__"] for sample in found] == keys
        assert [(sample["cls"], sample["json"]) for sample in found] == [(int(key[0]), {"a": 1}) for key in keys]
        assert {sample["jpg"].size for sample in found} == {(160, 120)}
        loose = {row["sha256"] for row in afdcli.degrade(shards, "loose", qf=int(level[5:])) if row["sha256"]}
        raw = webdataset.WebDataset(urls, shardshuffle=False)
        assert {hashlib.sha256(sample["jpg"]).hexdigest() for sample in raw} == loose
    with Path("out/jpeg-10.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)][:5] == [
            *(f"jpeg-10/000000.tar/{key}.jpg" for key in ("00", "01", "02", "10")),
            "",
        ]


def test_pyarrow_reads_tables(shards):
    parquet = pytest.importorskip("pyarrow.parquet")
    pack(shards, to="parquet")
    table = parquet.ParquetDataset(sorted(Path("out/jpeg-10").glob("*.parquet"))).read()
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    rows = table.to_pylist()
    assert [row["image"]["path"] for row in rows] == [
        "00.jpg",
        "01.jpg",
        "02.jpg",
        "10.jpg",
        "12.jpg",
        "20.jpg",
        "21.jpg",
        "22.jpg",
    ]
    assert [row["label"] for row in rows] == ["0", "0", "0", "1", "1", "2", "2", "2"]
    assert all(Image.open(io.BytesIO(row["image"]["bytes"])).format == "JPEG" for row in rows)
    before = digests("out")
    pack(shards, to="parquet")
    assert digests("out") == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wds", "parquet"])
def test_what_is_right_stays_and_what_is_not_is_made_again(shards, kind, photo):
    pack(shards, to=kind)
    before, names = digests("out"), sorted(Path("out").rglob("0*"))
    made = {path: path.stat().st_ino for path in names}
    pack(shards, to=kind)
    assert digests("out") == before and {path: path.stat().st_ino for path in names} == made
    spoilt = names[1]
    data = bytearray(spoilt.read_bytes())
    data[len(data) // 3] ^= 255
    spoilt.write_bytes(data)
    names[2].unlink()
    names[0].write_bytes(names[0].read_bytes()[:-3000])
    Path("out/jpeg-30.csv").write_bytes(Path("out/jpeg-30.csv").read_bytes()[:-200])
    pack(shards, to=kind)
    assert digests("out") == before
    assert names[3].stat().st_ino == made[names[3]]


@pytest.mark.slow
def test_a_photo_that_was_replaced_is_made_again(shards, photo):
    pack(shards)
    before = digests("out")
    old = Path("s-2.tar").read_bytes()
    place = old.index(b"IDAT") + 8
    Path("s-2.tar").write_bytes(old[:place] + b"\0\0" + old[place + 2 :])
    pack(shards)
    assert digests("out") != before
    Path("s-2.tar").write_bytes(old)
    pack(shards)
    assert digests("out") == before


def test_of_a_folder(photos):
    webdataset = pytest.importorskip("webdataset")
    (photos / "a.png").write_bytes((photos / "b.png").read_bytes())
    (photos / "x.y.jpg").write_bytes((photos / "a.jpg").read_bytes())
    out = photos.parent / "out"
    rows = pack(photos, out, qf=10)
    assert all(row["status"] == "ok" for row in rows)
    urls = [str(path) for path in sorted((out / "jpeg-10").glob("*.tar"))]
    keys = [sample["__key__"] for sample in webdataset.WebDataset(urls, shardshuffle=False)]
    assert keys == ["a", "a_png", "b", "cats/a", "cats/old/d", "dogs/e", "dogs/f", "x_y"]


def test_nothing_of_others_is_replaced(shards):
    pack(shards, qf=10)
    Path("out/jpeg-10.csv").write_text(Path("out/jpeg-10.csv").read_text().partition("\n")[0] + "\n")
    Path("out/jpeg-10/000001.tar").write_bytes(b"somebody's")
    with pytest.raises(OutputRefused, match=r"000001.tar' cannot be written: it is there already"):
        pack(shards, qf=10)
    assert Path("out/jpeg-10/000001.tar").read_bytes() == b"somebody's"
    with pytest.raises(OutputRefused, match="to was wds, and is None now"):
        afdcli.degrade(shards, "out", qf=10)


@pytest.mark.slow
def test_evaluate_finds_them(shards, network):
    options = {"backbone": network[1], "backbone_checkpoint": network[3], "device": "cpu", "weights": ("none",)}
    expected = None
    for number, kind in enumerate(("files", "wds", "parquet")):
        pack(shards, str(number), to=kind)
        with pytest.warns(UserWarning, match=r"11\.png"):
            rows = afdcli.evaluate(shards, degraded=Path(str(number)), **options)
        expected = expected or rows
        assert rows == expected and rows[0]["images"] == 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wds", "parquet"])
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_runs_go_on(shards, kind, workers):
    pack(shards, "whole", to=kind)
    command = [sys.executable, "-m", "afdcli", "degrade", shards, "out", "--qf", "10", "--qf", "30", "--to", kind]
    command += ["--shard-size", str(SIZE), "--workers", str(workers)]
    for number in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.6 + 0.1 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if number == 9:  # from the beginning, now later
            Path("out/jpeg-10.csv").unlink(missing_ok=True)
            shutil.rmtree("out", ignore_errors=True)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
    assert digests("out") == digests("whole")
