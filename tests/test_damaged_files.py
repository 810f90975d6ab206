"""Whatever another program, a disk or a power failure does to a file that afd goes on from: the right result comes out
of it, or a refusal in a sentence. Never a wrong row, and never another exception."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from afdcli.commands import classify, evaluate
from afdcli.commands.classify import Classification
from afdcli.commands.degrade import Degrading
from afdcli.commands.evaluate import Evaluation, from_outcomes
from afdcli.commands.train import LOG_COLUMNS, _open_log
from afdcli.errors import AfdError, OutputRefused
from afdcli.models.description import Description
from afdcli.options import (
    ClassifyOptions,
    Compression,
    DegradeOptions,
    EvaluateOptions,
    ModelOptions,
    TrainOptions,
    degradations,
)
from afdcli.photos.labels import Labels
from afdcli.photos.preprocessing import Preprocessing
from afdcli.results.record import digest, record
from afdcli.training.state import BEFORE, State, load_state, save_state

TOTAL, BATCH = 6, 2
LEVELS = (Compression("jpeg", 10),)
MODEL = ModelOptions(device="cpu", batch_size=BATCH)


class Brightest:
    """A classifier that needs no network: the classes are parts of the picture, and the brightest is the likeliest."""

    engine, threads = "torch", 0
    about = Description(
        backbone="parts",
        backbone_sha256="0",
        backbone_part="0",
        weights_sha256="none",
        method="none",
        config=None,
        inputs=("pixels",),
        outputs=("probabilities",),
        preprocessing=Preprocessing(32),
        labels=Labels(tuple(f"part {number}" for number in range(8))),
    )

    def predict_topk(self, pixels, k, quality=None):
        parts = pixels.reshape(len(pixels), 8, -1).astype(np.float32).mean(2)
        shares = parts / parts.sum(1, keepdims=True)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :k]
        return order, np.take_along_axis(shares, order, 1), None

    def added_parameters(self):
        return 0

    def added_macs(self):
        return 0


@pytest.fixture(scope="module", autouse=True)
def brightest():
    with pytest.MonkeyPatch.context() as patch:
        for command in (classify, evaluate):
            patch.setattr(command, "load_engine", lambda *_: Brightest())
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "3").mkdir()
    for seed in range(TOTAL):
        coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 40)).save(folder / "3" / f"{seed}.jpg")
    (folder / "3" / "4.jpg").write_bytes(b"no photo")
    return folder


# What can be done to a file

WORDS = st.one_of(
    st.sampled_from(
        [b"", b"0", b"1", b"-7", b"0.5", b"ok", b"error", b"true", b"null", b'"', b"1e999", b"NaN", b"\xe9"]
    ),
    st.binary(max_size=6),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
AT = st.floats(0, 1, exclude_max=True)


@st.composite
def damages(draw):
    """A function from the bytes of a file to others."""
    kind = draw(st.sampled_from(["field", "field", "field", "more", "fewer", "bytes", "cut", "line", "blank", "twice"]))
    line_at, at, word, length = draw(AT), draw(AT), draw(WORDS), draw(st.integers(0, 9))

    def damage(data):
        lines = data.splitlines(keepends=True) or [b""]
        number = int(line_at * len(lines))
        if kind == "bytes":
            begin = int(at * len(data))
            return data[:begin] + word + data[begin + length :]
        if kind == "cut":
            return data[: int(at * len(data))]
        if kind in ("field", "more", "fewer"):
            fields = lines[number].split(b",")
            place = int(at * len(fields))
            fields[place : place + (kind != "more")] = [] if kind == "fewer" else [word]
            lines[number] = b",".join(fields)
        elif kind == "line":
            del lines[number]
        else:
            lines.insert(number, b"\n" if kind == "blank" else lines[number])
        return b"".join(lines)

    return damage


def holds(made, file, damage, again):
    """Check that after `damage` to `file` of the folder `made`, `again` gives what it should, or refuses."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "made"
        shutil.copytree(made, folder)
        (folder / file).write_bytes(damage((folder / file).read_bytes()))
        try:
            again(folder)
        except AfdError as error:
            assert str(error).endswith(".")


def each(files, most):
    """Run the test for each of `files`, with `most` damages to it."""

    def mark(test):
        checked = settings(
            max_examples=most, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
        )(given(damage=damages())(test))
        return pytest.mark.slow(pytest.mark.parametrize("file", files)(checked))

    return mark


# afd classify


def classified(photos, output, **others):
    return Classification(ClassifyOptions((str(photos),), output, model=MODEL, topk=2, workers=0, **others))


@pytest.fixture(scope="module")
def classifying(photos, tmp_path_factory):
    """For each kind of file a finished run, and one that was interrupted after four photos and a row done anew."""
    folder = tmp_path_factory.mktemp("classify")
    for ending in ("csv", "jsonl", "parquet"):
        list(classified(photos, folder / f"whole.{ending}").rows())
        rows = classified(photos, folder / f"half.{ending}").rows()
        for _ in range(4):
            next(rows)
        rows.close()
    return folder


CLASSIFY = [
    *(f"{name}.{ending}" for name in ("whole", "half") for ending in ("csv", "jsonl")),
    *("whole.parquet", "half.parquet.partial"),
    *("half.csv.json", "half.csv.stamps", "whole.csv.stamps", "half.parquet.json", "whole.parquet.json"),
]


@each(CLASSIFY, 40)
def test_classify_goes_on_right_or_not_at_all(photos, classifying, file, damage):
    output = ".".join(file.split(".")[:2])

    def again(folder):
        list(classified(photos, folder / output, resume=True).rows())
        whole = (classifying / f"whole.{output.split('.')[1]}").read_bytes()
        assert (folder / output).read_bytes() == whole

    holds(classifying, file, damage, again)


@each(["rows.csv.changes"], 40)
def test_rows_that_wait_for_their_places_get_them_right_or_not_at_all(photos, tmp_path, file, damage):
    made = tmp_path / "made"
    if not made.exists():
        made.mkdir()
        list(classified(photos, made / "rows.csv").rows())
        whole = (made / "rows.csv").read_bytes()
        rows = classified(photos, made / "rows.csv", resume=True)
        rows._photos.anew = rows.anew.__class__(frozenset({0, 2}), 1, 0, 0)
        for _ in rows.rows():
            if (made / file).exists():
                (tmp_path / "changes").write_bytes((made / file).read_bytes())
        (made / file).write_bytes((tmp_path / "changes").read_bytes())
        (tmp_path / "whole").write_bytes(whole)

    def again(folder):
        list(classified(photos, folder / "rows.csv", resume=True).rows())
        assert (folder / "rows.csv").read_bytes() == (tmp_path / "whole").read_bytes()

    holds(made, file, damage, again)


# afd evaluate


def evaluated(photos, output, **others):
    options = EvaluateOptions(photos, output, LEVELS, model=MODEL, weights=("none",), workers=0, **others)
    run = Evaluation(options)
    list(run.photos())
    run.write()


@pytest.fixture(scope="module")
def evaluating(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    for ending in ("csv", "jsonl", "parquet"):
        evaluated(photos, folder / "whole.csv", per_photo=folder / f"kept.{ending}", resume=True)
    half = Evaluation(EvaluateOptions(photos, folder / "half.csv", LEVELS, model=MODEL, weights=("none",), workers=0))
    started = half.photos()
    for _ in range(3):
        next(started)
    started.close()
    return folder


OUTCOMES = [f"{name}.outcomes.csv{ending}" for name in ("whole", "half") for ending in ("", ".json", ".stamps")]


@each([*OUTCOMES, "whole.csv", "whole.csv.json"], 40)
def test_evaluate_goes_on_right_or_not_at_all(photos, evaluating, file, damage):
    name = file.split(".")[0]

    def again(folder):
        evaluated(photos, folder / f"{name}.csv", resume=True)
        for ending in (".csv", ".outcomes.csv"):
            assert (folder / f"{name}{ending}").read_bytes() == (evaluating / f"whole{ending}").read_bytes()

    holds(evaluating, file, damage, again)


@each([f"kept.{ending}{record}" for ending in ("csv", "jsonl", "parquet") for record in ("", ".json")], 40)
def test_outcomes_are_read_right_or_not_at_all(evaluating, file, damage):
    kept = ".".join(file.split(".")[:2])
    expected = from_outcomes(EvaluateOptions(outcomes=(evaluating / kept,)), writes=False)

    def again(folder):
        assert from_outcomes(EvaluateOptions(outcomes=(folder / kept,)), writes=False) == expected

    holds(evaluating, file, damage, again)


# afd degrade


def copied(photos, destination):
    list(Degrading(DegradeOptions(photos, destination, degradations(LEVELS, 1, False), workers=0)).copies())


@pytest.fixture(scope="module")
def degrading(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("degrade")
    copied(photos, folder / "copies")
    return folder


def tree(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.suffix in (".jpg", ".csv")
    }


MANIFEST = "copies/jpeg-10.csv"


@each([MANIFEST, f"{MANIFEST}.json"], 60)
def test_degrade_goes_on_right_or_not_at_all(photos, degrading, file, damage):
    def again(folder):
        copied(photos, folder / "copies")
        found, expected = tree(folder), tree(degrading)
        # A manifest that lost the names of copies no longer tells whose they are: their rows then say so.
        if b"afd degrade did not write it" not in found[Path(MANIFEST)]:
            assert found == expected

    holds(degrading, file, damage, again)


@each([MANIFEST, f"{MANIFEST}.json"], 60)
def test_copies_are_measured_right_or_not_at_all(photos, degrading, file, damage):
    def figures(folder):
        run = Evaluation(
            EvaluateOptions(photos, degraded=folder / "copies", model=MODEL, weights=("none",), workers=0), writes=False
        )
        failed = [photo.case.source.name for photo in run.photos() if photo.error]
        return failed, run.rows()

    usual, expected = figures(degrading)

    def again(folder):
        failed, rows = figures(folder)
        assert rows == expected if failed == usual else set(usual) < set(failed)

    holds(degrading, file, damage, again)


# afd train

SETTINGS = {**BEFORE, "learning_rate": 0.1, "seed": 0}


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    tensors = {
        "student.a": torch.arange(6.0).reshape(2, 3),
        "average.a": torch.ones(4),
        "optimizer.0.step": torch.ones(()),
    }
    save_state(State(tensors, 7, 0.25, SETTINGS, "f" * 64), folder / "a.safetensors")
    return folder


@each(["a.safetensors"], 300)
def test_a_state_is_loaded_right_or_not_at_all(training, file, damage):
    before = load_state(training / file, SETTINGS)

    def again(folder):
        found = load_state(folder / file, SETTINGS)
        assert (found.done, found.best, found.log) == (before.done, before.best, before.log)
        assert found.settings | SETTINGS == before.settings | SETTINGS
        assert {name: one.tolist() for name, one in found.tensors.items()} == {
            name: one.tolist() for name, one in before.tensors.items()
        }

    holds(training, file, damage, again)


def test_a_log_that_another_program_changed_is_refused_until_it_is_deleted(tmp_path):
    path, options = tmp_path / "m.csv", TrainOptions(("photos",), tmp_path / "m.safetensors")
    rows = [{**dict.fromkeys(LOG_COLUMNS), "step": step, "loss": 1.0} for step in (1, 2, 3)]
    content = record("afd train", {})
    log = _open_log(path, content, options, SimpleNamespace(done=0, log=""))
    with suppress(KeyboardInterrupt), log:
        log.write(rows[:2])
        kept = SimpleNamespace(done=2, log=digest(path))
        log.write(rows[2:])
        raise KeyboardInterrupt
    resumed = TrainOptions(("photos",), tmp_path / "m.safetensors", resume=True)
    log = _open_log(path, content, resumed, kept)
    assert log.rows == 2
    log.leave()
    path.write_text(path.read_text().replace("1.0", "2.0", 1))
    with pytest.raises(OutputRefused, match="was changed by another program"):
        _open_log(path, content, resumed, kept)
    path.unlink()
    log = _open_log(path, content, resumed, kept)
    assert log.rows == 0
    log.leave()
