"""`afd classify --resume` ends in the file of a run that was left in peace, over the photos as they are now."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from afdcli.commands import classify
from afdcli.commands.classify import Classification
from afdcli.errors import OutputExists, OutputRefused
from afdcli.models.classifier import load_classifier
from afdcli.options import ClassifyOptions, ModelOptions
from afdcli.photos import samples
from afdcli.photos.stamp import UNKNOWN, stamp
from afdcli.results import resuming

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.
ENDINGS = (".csv", ".jsonl", ".parquet")
TOTAL, BATCH = 8, 3
NAMES = [f"{number}.jpg" for number in range(TOTAL)]


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((96, 80))


@pytest.fixture
def folder(tmp_path):
    """Photos in three batches, the last one short."""
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(NAMES):
        picture(seed).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=8).state_dict(), path)
    return load_classifier(ModelOptions("test_resnet", path, "cpu"))


@pytest.fixture(autouse=True)
def seen(monkeypatch, network):
    """The names of the photos that are read, in order."""
    names = []

    def load(source, **others):
        names.append(Path(source.path).name)
        return samples.load_sample(source, **others)

    monkeypatch.setattr(classify, "load_engine", lambda *_: network)
    monkeypatch.setattr(classify, "load_sample", load)
    return names


def run(inputs, output, resume=False):
    inputs = (str(inputs),) if isinstance(inputs, Path) else tuple(map(str, inputs))
    model = ModelOptions(device="cpu", batch_size=BATCH)
    return Classification(ClassifyOptions(inputs, output, model=model, resume=resume, workers=0))


def whole(inputs, tmp_path, ending):
    """What a run gives that was left in peace."""
    output = tmp_path / f"whole{ending}"
    for path in tmp_path.glob(f"{output.name}*"):
        path.unlink()
    rows = list(run(inputs, output).rows())
    return output.read_bytes(), rows


def again(inputs, output, tmp_path):
    """Resume, and check that all is as in a run that was left in peace; gives the run."""
    expected, rows = whole(inputs, tmp_path, output.suffix)
    resumed = run(inputs, output, resume=True)
    found = list(resumed.rows())
    assert found == rows
    assert [list(map(type, row.values())) for row in found] == [list(map(type, row.values())) for row in rows]
    assert output.read_bytes() == expected
    beside = [output.name, f"{output.name}.json", f"{output.name}.stamps"]
    assert sorted(path.name for path in tmp_path.glob(f"{output.name}*")) == beside
    return resumed


def half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return data


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("broken", [[0], [4], [7], [0, 1, 2], [2, 3, 7], list(range(TOTAL))])
def test_photos_that_failed_are_tried_again(folder, tmp_path, ending, broken):
    output = tmp_path / f"rows{ending}"
    good = {number: half(folder / NAMES[number]) for number in broken}
    assert sum(row["status"] == "error" for row in run(folder, output).rows()) == len(broken)
    for number, data in good.items():
        (folder / NAMES[number]).write_bytes(data)
    resumed = again(folder, output, tmp_path)
    assert (resumed.anew.failed, resumed.anew.replaced) == (len(broken), 0)
    assert run(folder, output, resume=True).already == TOTAL


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("replaced", [[0], [5], [7], [1, 6]])
def test_photos_that_were_replaced_are_done_anew_with_their_batch_and_no_others(
    folder, tmp_path, ending, replaced, seen
):
    output = tmp_path / f"rows{ending}"
    list(run(folder, output).rows())
    for number in replaced:
        picture(100 + number).save(folder / NAMES[number], quality=60)
    seen.clear()
    resumed = run(folder, output, resume=True)
    list(resumed.rows())
    together = {number // BATCH for number in replaced}
    assert seen == [name for number, name in enumerate(NAMES) if number // BATCH in together]
    assert (resumed.anew.failed, resumed.anew.replaced) == (0, len(replaced))
    assert output.read_bytes() == whole(folder, tmp_path, ending)[0]


@pytest.mark.slow
def test_a_photo_of_another_time_but_the_same_bytes_gets_the_same_row(folder, tmp_path):
    output = tmp_path / "rows.csv"
    list(run(folder, output).rows())
    before = output.read_bytes()
    os.utime(folder / NAMES[4], (1, 1))
    assert again(folder, output, tmp_path).anew.replaced == 1
    assert output.read_bytes() == before


def test_nothing_is_read_again_when_nothing_has_changed(folder, tmp_path, seen):
    output = tmp_path / "rows.csv"
    list(run(folder, output).rows())
    seen.clear()
    list(run(folder, output, resume=True).rows())
    assert seen == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_photos_that_vanished_from_a_list_become_errors(folder, tmp_path, ending):
    output, listed = tmp_path / f"rows{ending}", [folder / name for name in NAMES]
    list(run(listed, output).rows())
    for number in (0, 7):
        listed[number].rename(folder / f"away-{number}")
        listed[number].symlink_to("nowhere.jpg")
    again(listed, output, tmp_path)
    for number in (0, 7):
        (folder / f"away-{number}").replace(listed[number])
    again(listed, output, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stop", range(1, TOTAL + 1))
def test_it_may_be_stopped_while_it_does_rows_anew(folder, tmp_path, ending, stop):
    output = tmp_path / f"rows{ending}"
    good = {name: half(folder / name) for name in (NAMES[1], NAMES[4])}
    rows = run(folder, output).rows()
    for _ in range(2 * BATCH):
        next(rows)
    rows.close()
    for name, data in good.items():
        (folder / name).write_bytes(data)
    for _ in range(2):
        rows = run(folder, output, resume=True).rows()
        for _ in range(stop):
            next(rows)
        rows.close()  # what Ctrl-C does
    again(folder, output, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_whatever_a_kill_leaves_is_gone_on_with(folder, tmp_path, ending):
    """Copied after each row: what a run leaves that is killed there, half a line more, or stamps that never came."""
    output, lives = tmp_path / f"rows{ending}", tmp_path / "lives"
    good = {name: half(folder / name) for name in (NAMES[0], NAMES[4], NAMES[7])}
    list(run(folder, output).rows())
    for name, data in good.items():
        (folder / name).write_bytes(data)
    picture(50).save(folder / NAMES[5])
    for count, _ in enumerate(run(folder, output, resume=True).rows()):
        shutil.copytree(tmp_path, lives / str(count), ignore=lambda _, names: {*names} - {*beside(output)})
    expected = whole(folder, tmp_path, ending)[0]
    for count in range(0, TOTAL, BATCH):  # Between, nothing is written.
        for torn in (0, 5):
            for path in tmp_path.glob(f"{output.name}*"):
                path.unlink()
            for path in (lives / str(count)).iterdir():
                data = path.read_bytes()
                (tmp_path / path.name).write_bytes(data[:-torn] if torn and path.suffix == ".changes" else data)
            list(run(folder, output, resume=True).rows())
            assert output.read_bytes() == expected


def beside(output):
    return [output.name + ending for ending in ("", ".json", ".stamps", ".changes", ".partial")]


@pytest.mark.slow
def test_an_output_without_stamps_is_trusted_and_what_failed_is_tried_again(folder, tmp_path, seen):
    """As an older afd left it."""
    output, data = tmp_path / "rows.csv", half(folder / NAMES[1])
    rows = run(folder, output).rows()
    for _ in range(2 * BATCH):
        next(rows)
    rows.close()
    Path(f"{output}.stamps").unlink()
    (folder / NAMES[1]).write_bytes(data)
    os.utime(folder / NAMES[4], (1, 1))
    seen.clear()
    resumed = run(folder, output, resume=True)
    list(resumed.rows())
    assert (resumed.anew.failed, resumed.anew.replaced) == (1, 0)
    assert seen == [*NAMES[:3], *NAMES[6:]]
    assert output.read_bytes() == whole(folder, tmp_path, ".csv")[0]


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 16, 34, 80, 34 * TOTAL - 1])
def test_stamps_that_were_cut_count_as_far_as_they_go(folder, tmp_path, size):
    output = tmp_path / "rows.csv"
    list(run(folder, output).rows())
    os.truncate(f"{output}.stamps", size)
    for name in NAMES:
        os.utime(folder / name, (1, 1))
    assert again(folder, output, tmp_path).anew.replaced == size // 34


@pytest.mark.slow
def test_a_photo_that_is_replaced_while_it_is_read_is_done_anew(folder, tmp_path, monkeypatch):
    output, read = tmp_path / "rows.csv", samples.read_source

    def read_too_early(source):
        data = read(source)
        if source.path.endswith(NAMES[2]):
            picture(60).save(source.path)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(samples, "read_source", read_too_early)
        list(run(folder, output).rows())
    assert again(folder, output, tmp_path).anew.replaced == 1


def test_photos_in_a_store_are_compared_by_what_it_tells(folder, tmp_path):
    import fsspec

    store, output = fsspec.filesystem("memory"), tmp_path / "rows.csv"
    store.put(str(folder), "/resuming", recursive=True)
    try:
        rows = list(run(["memory://resuming"], output).rows())
        assert len(rows) == TOTAL
        store.put(str(folder / NAMES[0]), f"/resuming/{NAMES[7]}")
        assert run(["memory://resuming"], output, resume=True).anew.replaced == 1
    finally:
        store.rm("/resuming", recursive=True)


def test_what_cannot_be_asked_has_no_stamp(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert stamp(str(tmp_path / "missing.jpg")) == UNKNOWN == stamp("a\0b")
    assert stamp("nosuch://bucket/a.jpg") == UNKNOWN != stamp(str(tmp_path / "a.jpg"))


def test_other_photos_are_refused_before_anything_is_cut(folder, tmp_path):
    output = tmp_path / "rows.csv"
    rows = run(folder, output).rows()
    next(rows)
    rows.close()
    before = output.read_bytes()
    (folder / NAMES[0]).rename(folder / "00.jpg")
    with pytest.raises(OutputRefused, match="other photos"):
        run(folder, output, resume=True)
    assert output.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("change", ["renamed", "gone", "asked", "stopped"])
def test_a_finished_output_that_is_refused_stays_finished(folder, tmp_path, ending, change, monkeypatch):
    """Whatever ends the comparison: other photos, fewer of them, a network disk that fails, Ctrl-C."""
    output = tmp_path / f"rows{ending}"
    list(run(folder, output).rows())
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("rows*")}
    expected = OutputRefused
    if change == "renamed":
        (folder / NAMES[0]).rename(folder / "00.jpg")
    elif change == "gone":
        (folder / NAMES[-1]).unlink()
    else:
        expected = KeyboardInterrupt if change == "stopped" else OSError

        def fail(_):
            raise expected

        monkeypatch.setattr(resuming, "stamp", fail)
    with pytest.raises(expected):
        run(folder, output, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("rows*")} == kept
    with pytest.raises(OutputExists):
        run(folder, output)
