"""The commands as a user meets them: exit codes, what is said and where, Ctrl-C, lists in pipes."""

import csv
import io
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from afdcli.cli import app, report
from afdcli.commands import evaluate
from afdcli.errors import WrongUse

AFD = (sys.executable, "-m", "afdcli")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.


def picture(seed, width=64, height=48):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).resize((width, height))


@pytest.fixture
def album(tmp_path):
    """A folder with three good photos."""
    folder = tmp_path / "album"
    folder.mkdir()
    for seed in range(3):
        picture(seed).save(folder / f"{seed}.jpg", quality=80)
    return folder


@pytest.fixture
def afd(monkeypatch, capfd):
    """Runs a command in this process: (exit code, standard output, standard error)."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["afd", *map(str, args)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            app.main()
        out, err = capfd.readouterr()
        return end.value.code or 0, out, err.replace(f"{report.COMPILING}\n", "")  # said once for each classifier

    yield run
    logging.disable(logging.NOTSET)


def hard_links(folder, count, different=3):
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        if number < different:
            picture(number).save(path, quality=60)
        else:
            os.link(folder / f"{number % different:04}.jpg", path)
    return folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Help


@pytest.mark.slow
@pytest.mark.parametrize("command", [(), ("classify",), ("evaluate",), ("degrade",), ("train",), ("explain",)])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys\nfrom afdcli.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'timm', 'PIL', 'numpy', 'scipy', 'matplotlib', 'pyarrow', 'torchvision'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"
    assert "Usage: " in shown.stdout
    assert shown.stderr == ""


@pytest.mark.slow
def test_python_m_afdcli_is_afd():
    shown = subprocess.run([*AFD, "--help"], capture_output=True, text=True, check=True)
    assert all(command in shown.stdout for command in ("classify", "evaluate", "degrade", "train", "fuse", "explain"))


# Wrong use


WRONG = [
    "classify EMPTY -o NEW.csv",
    "classify ALBUM/missing.jpg -o NEW.csv",
    "classify ALBUM missing -o NEW.csv",
    "classify ALBUM/*.tiff -o NEW.csv",
    "classify ALBUM --backbone tf_efficientnet_lit0 -o NEW.csv",
    "classify ALBUM -o missing/NEW.csv",
    "classify ALBUM -o NEW.txt",
    "classify ALBUM -o NEW",
    "classify ALBUM -o FOREIGN.csv",
    "classify ALBUM -o FOREIGN.csv --resume",
    "classify ALBUM -o ALBUM",
    "classify ALBUM --topk 0 -o NEW.csv",
    "classify ALBUM --workers -1 -o NEW.csv",
    "classify ALBUM --batch-size 0 -o NEW.csv",
    "classify ALBUM --exif sideways -o NEW.csv",
    "classify ALBUM --max-pixels 0 -o NEW.csv",
    "classify ALBUM --weights afd -o NEW.csv",
    "classify ALBUM --device banana -o NEW.csv",
    "classify ALBUM --backbone-checkpoint missing.pth -o NEW.csv",
    "classify ALBUM --backbone-checkpoint FOREIGN.csv -o NEW.csv",
    "evaluate missing -o NEW.csv",
    "evaluate EMPTY -o NEW.csv",
    "evaluate ALBUM -o NEW.jsonl",
    "evaluate ALBUM -o FOREIGN.csv",
    "evaluate ALBUM --jpeg 0 -o NEW.csv",
    "evaluate ALBUM --jpeg 101 -o NEW.csv",
    "evaluate ALBUM --jpeg ten -o NEW.csv",
    "evaluate ALBUM --jpeg 10;20 -o NEW.csv",
    "evaluate ALBUM --jpeg 10,10 -o NEW.csv",
    "evaluate ALBUM --avif 101 -o NEW.csv",
    "evaluate ALBUM --jpeg 10 --passes 0 -o NEW.csv",
    "evaluate ALBUM --jpeg 10 --passes , -o NEW.csv",
    "evaluate ALBUM --jpeg 10 --order last -o NEW.csv",
    "evaluate ALBUM --jpeg 10 --subsampling 4:1:1 -o NEW.csv",
    "evaluate ALBUM --weights , -o NEW.csv",
    "evaluate ALBUM --degraded EMPTY -o NEW.csv",
    "evaluate ALBUM --degraded EMPTY --jpeg 10 -o NEW.csv",
    "degrade ALBUM NEW",
    "degrade missing NEW --qf 10",
    "degrade EMPTY NEW --qf 10",
    "degrade ALBUM NEW --qf 0",
    "degrade ALBUM NEW --qf 101",
    "degrade ALBUM NEW --avif -1",
    "degrade ALBUM NEW --qf 10 --qf 10",
    "degrade ALBUM NEW --qf-sequence 25,ten",
    "degrade ALBUM NEW --qf-sequence 25,0",
    "degrade ALBUM NEW --qf 10 --size 0",
    "degrade ALBUM NEW --qf 10 --passes 0",
    "degrade ALBUM ALBUM --qf 10",
    "degrade ALBUM FOREIGN.csv --qf 10",
    "degrade ALBUM FOREIGN.csv/new --qf 10",
    "evaluate ALBUM --preset best -o NEW.csv",
    "evaluate ALBUM --level webp:10 --subsampling 4:4:4 -o NEW.csv",
    "evaluate ALBUM --level webp -o NEW.csv",
    "evaluate ALBUM --level gif:10 -o NEW.csv",
    "degrade ALBUM NEW --level webp:101",
    "train EMPTY -o NEW.safetensors",
    "train ALBUM -o NEW.pth",
    "train ALBUM --recipe best -o NEW.safetensors",
    "train ALBUM --precision float8 -o NEW.safetensors",
    "fuse FOREIGN.csv NEW.safetensors --photos ALBUM",
    "explain ALBUM/0.jpg --qf 10 --avif 10 -o NEW.png",
    "explain ALBUM/0.jpg --weights none -o NEW.png",
    "explain ALBUM/0.jpg -o NEW.jpg",
    "explain ALBUM --weights none --statistics -o NEW.png",
]


@pytest.mark.slow
@pytest.mark.parametrize("line", WRONG)
def test_wrong_use_is_one_sentence_and_exit_code_2(afd, album, tmp_path, line):
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign.csv").write_text("precious")
    names = {"ALBUM": album, "EMPTY": tmp_path / "empty", "NEW": tmp_path / "new", "FOREIGN": tmp_path / "foreign"}
    args = [re.sub("|".join(names), lambda match: str(names[match[0]]), part) for part in line.split(" ")]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = afd(*args)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"afd: [^\n]+\n", err), err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "foreign.csv").read_text() == "precious"


@pytest.mark.parametrize(
    "args",
    [
        ("classify",),
        ("classify", "ALBUM", "--topk", "many"),
        ("classify", "ALBUM", "--topkk", "3"),
        ("evaluate", "ALBUM", "--seed", "x"),
        ("degrade", "ALBUM"),
        ("clasify", "ALBUM"),
        ("classify", "ALBUM", "--resume=yes"),
        ("degrade", "ALBUM", "new", "--qf", "10", "--shift=1"),
        ("train", "ALBUM", "--labels=no"),
        ("classify", "ALBUM", "--topk"),
        ("--verison",),
    ],
)
def test_a_flag_or_argument_that_makes_no_sense_is_one_sentence_as_well(afd, args):
    code, out, err = afd(*args)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"afd: [^\n]+\n", err), err


def test_a_negative_seed_is_refused_in_a_sentence(afd, album, tmp_path):
    flags = ("--qf", "10", "--passes", "2", "--seed", "-1", "--workers", "0")
    code, out, err = afd("degrade", album, tmp_path / "new", *flags)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"afd: [^\n]+\n", err), err


def test_an_output_that_is_no_file_is_refused(afd, album, network):
    code, out, err = afd("classify", album, "-o", "/dev/full/rows.csv", *network)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"afd: [^\n]+\n", err), err


# Exit codes


@pytest.mark.slow
def test_all_photos_read_is_exit_code_0(afd, album, network, tmp_path):
    code, out, err = afd("classify", album, "-o", tmp_path / "rows.csv", "--workers", "0", *network)
    assert (code, err) == (0, "")
    assert "3 of 3 photos" in out
    assert [row["path"] for row in rows_of(tmp_path / "rows.csv")] == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.slow
def test_some_photos_not_read_is_exit_code_1(afd, album, network, tmp_path):
    (album / "1.5.jpg").write_bytes(b"no photo")
    code, out, err = afd("classify", album, "-o", tmp_path / "rows.csv", "--workers", "0", *network)
    assert code == 1
    assert "1 of 4 photos could not be used" in err
    assert "1.5.jpg" in err
    assert [row["status"] for row in rows_of(tmp_path / "rows.csv")] == ["ok", "error", "ok", "ok"]
    assert "3 of 4 photos" in out


@pytest.mark.slow
def test_evaluate_ends_with_a_table_a_file_and_its_record(afd, album, network, tmp_path):
    output = tmp_path / "accuracy.csv"
    code, out, err = afd("evaluate", album, "--jpeg", "20,5", "-o", output, "--workers", "0", "--seed", "7", *network)
    assert (code, err) == (0, "")
    assert "agreement" in out
    assert [row["quality"] for row in rows_of(output)] == ["", "20", "5"]
    found = json.loads((tmp_path / "accuracy.csv.json").read_text())
    assert found["command"][1:4] == ["evaluate", str(album), "--jpeg"]
    assert found["settings"]["seed"] == 7
    assert found["versions"]["torch"]


@pytest.mark.slow
def test_evaluate_of_partly_bad_photos_is_exit_code_1(afd, album, network, tmp_path):
    (album / "bad.jpg").touch()
    code, _, err = afd("evaluate", album, "--jpeg", "5", "-o", tmp_path / "a.csv", "--workers", "0", *network)
    assert code == 1
    assert "bad.jpg" in err


def test_evaluate_of_only_bad_photos_is_exit_code_2_and_writes_nothing(afd, network, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.jpg").touch()
    code, _, err = afd("evaluate", tmp_path / "bad", "-o", tmp_path / "a.csv", "--workers", "0", *network)
    assert code == 2
    assert "Not one photo of " in err
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.slow
def test_train_fuse_and_evaluate_follow_one_another(afd, album, network, tmp_path):
    module, fused, accuracy = (tmp_path / name for name in ("module.safetensors", "fused.safetensors", "accuracy.csv"))
    flags = ("--recipe", "paper", "--width", "4", "--steps", "2", "--validate-every", "1", "--workers", "0")
    code, out, err = afd("train", album, "-o", module, *flags, *network)
    assert (code, out) == (0, "")
    assert "step 2" in err and "agreement" in err
    assert len(rows_of(tmp_path / "module.csv")) == 2
    assert Image.open(tmp_path / "module.png").size == (1500, 600)
    found = json.loads((tmp_path / "module.csv.json").read_text())["settings"]
    assert (found["tap"], found["width"], found["stage_weight"]) == ("stem", 4, 0.0)
    assert afd("fuse", module, fused, "--photos", album, "--backbone-checkpoint", network[3])[0] == 0
    afd("evaluate", album, "--jpeg", "5", "--weights", f"none,{fused}", "-o", accuracy, "--workers", "0", *network)
    assert [row["weights"] for row in rows_of(accuracy)] == ["none", "none", str(fused), str(fused)]


@pytest.mark.slow
def test_training_that_stops_is_exit_code_3_and_shows_what_there_was(afd, album, network, tmp_path):
    flags = ("--width", "4", "--steps", "8", "--learning-rate", "1e30", "--workers", "0")
    code, _, err = afd("train", album, "-o", tmp_path / "module.safetensors", *flags, *network)
    assert code == 3 and "--resume and a lower --learning-rate" in err
    assert rows_of(tmp_path / "module.csv")
    assert Image.open(tmp_path / "module.png").size == (1500, 600)


def test_degrade_says_where_the_copies_are(afd, album, tmp_path):
    code, out, err = afd("degrade", album, tmp_path / "new", "--qf", "10", "--qf-sequence", "25,7", "--workers", "0")
    assert (code, err) == (0, "")
    assert "3 photos are in" in out
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.is_dir()) == ["jpeg-10", "jpeg-25-7"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["classify", "evaluate", "degrade", "train"])
def test_what_gave_no_row_is_counted(afd, album, network, tmp_path, command):
    for name in ("@eaDir/0.jpg/thumb.jpg", "$RECYCLE.BIN/1.jpg"):
        (album / name).parent.mkdir(parents=True)
        (album / name).write_bytes(b"no photo")
    (album / "around").symlink_to(".")
    flags = {
        "classify": ("-o", tmp_path / "rows.csv", *network),
        "evaluate": ("-o", tmp_path / "rows.csv", "--jpeg", "5", *network),
        "degrade": (tmp_path / "new", "--qf", "10"),
        "train": ("-o", tmp_path / "m.safetensors", "--steps", "1", "--width", "4", *network),
    }
    code, out, _ = afd(command, album, *flags[command], "--workers", "0")
    assert code == 0
    assert "2 folders of the system's own, such as @eaDir, were passed over." in out.splitlines()
    assert "1 link or name led to what had come before, and gave no second row." in out.splitlines()
    if command in ("classify", "evaluate"):
        found = json.loads((tmp_path / "rows.csv.json").read_text())
        assert (found["passed_over"], found["repeated"]) == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("none, a.pth", ("none", "a.pth")),
        (" auto ", ("auto",)),
        ("x, y.pth", ("x, y.pth",)),
        ("none,\tb", ("none", "b")),
        ("x" * 300 + ",y", ("x" * 300, "y")),
    ],
)
def test_lists_of_weights_may_have_spaces(afd, monkeypatch, tmp_path, weights, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x, y.pth").touch()
    asked = []

    def evaluation(options):
        asked.append(options)
        raise WrongUse("That is all.")

    monkeypatch.setattr(evaluate, "Evaluation", evaluation)
    flags = ("--jpeg", "25, 18 ,7", "--passes", " 1, 2", "--level", "webp : 50, 20")
    assert afd("evaluate", "photos", "--weights", weights, *flags)[0] == 2
    assert asked[0].weights == expected
    assert asked[0].passes == (1, 2)
    assert [level.quality for level in asked[0].levels] == [25, 18, 7, 50, 20]


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--weights", "none,,auto", "--weights takes values with commas between them, not 'none,,auto'."),
        ("--weights", "none,", "--weights takes values with commas"),
        ("--weights", "none, none", "--weights names 'none' twice"),
        ("--jpeg", "25,", "--jpeg takes values with commas between them, not '25,'."),
        ("--passes", "1,,2", "--passes takes values with commas"),
        ("--jpeg", "25, 25", "take each quality of a codec once"),
        ("--level", "webp: ", "--level takes a codec and its qualities"),
    ],
)
def test_lists_with_gaps_or_doubles_are_refused(afd, flag, value, reason):
    code, out, err = afd("evaluate", "photos", flag, value)
    assert (code, out) == (2, "") and reason in err


@pytest.mark.slow
@pytest.mark.parametrize("command", ["classify", "evaluate", "degrade"])
def test_quiet_prints_nothing(afd, album, network, tmp_path, command):
    flags = {
        "classify": ("-o", tmp_path / "rows.csv", *network),
        "evaluate": ("-o", tmp_path / "rows.csv", "--jpeg", "5", *network),
        "degrade": (tmp_path / "new", "--qf", "10"),
    }
    assert afd(command, album, *flags[command], "--workers", "0", "--quiet") == (0, "", "")


# Inputs


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_a_list_comes_through_a_pipe(afd, album, network, tmp_path, monkeypatch, end):
    picture(9).save(album / "a name\nin two lines.jpg")
    names = ["2.jpg", "0.jpg", "missing.jpg"] + ["a name\nin two lines.jpg"] * (end == b"\0")
    reader, writer = os.pipe()
    os.write(writer, b"".join(os.fsencode(album / name) + end for name in names))
    os.close(writer)
    with os.fdopen(reader) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code, _, _ = afd("classify", "-", "-o", tmp_path / "rows.csv", "--workers", "0", *network)
    assert code == 1
    rows = rows_of(tmp_path / "rows.csv")
    assert [row["path"] for row in rows] == [str(album / name) for name in names]
    assert [row["error"] for row in rows if row["status"] == "error"] == ["no such file"]


def test_a_pattern_is_matched_by_afd_where_the_shell_did_not(afd, album, network, tmp_path):
    code, _, _ = afd("classify", f"{album}/[02].jpg", "-o", tmp_path / "rows.csv", "--workers", "0", *network)
    assert code == 0
    assert len(rows_of(tmp_path / "rows.csv")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_an_output_can_be_made_again_and_resumed(afd, album, network, tmp_path, ending):
    output = tmp_path / f"rows{ending}"
    command = ("classify", album, "-o", output, "--workers", "0", *network)
    assert afd(*command)[0] == 0
    whole = output.read_bytes()
    assert afd(*command, "--overwrite")[0] == 0
    assert output.read_bytes() == whole
    code, out, err = afd(*command, "--resume")
    assert (code, err) == (0, "")
    assert "3 of 3 photos" in out
    assert output.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "expected"), [("y", 0), ("n", 2), ("", 2)])
def test_on_a_terminal_afd_asks_before_it_replaces(afd, album, network, tmp_path, monkeypatch, answer, expected):
    output = tmp_path / "rows.csv"
    command = ("classify", album, "-o", output, "--workers", "0", "--quiet", *network)
    afd(*command)
    before = output.read_bytes()
    picture(9).save(album / "9.jpg")
    terminal = io.StringIO(answer + "\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, _, err = afd(*command)
    assert code == expected
    assert "is a finished result of afd classify. Replace it? [y/N]" in err
    assert (output.read_bytes() == before) == (expected == 2)


@pytest.mark.slow
def test_resuming_after_a_failure_is_still_exit_code_1(afd, album, network, tmp_path):
    (album / "1.5.jpg").touch()
    command = ("classify", album, "-o", tmp_path / "rows.csv", "--workers", "0", *network)
    assert afd(*command)[0] == 1
    code, out, err = afd(*command, "--resume")
    assert code == 1
    assert "1.5.jpg" in err
    assert "3 of 4 photos" in out


# Hostile files


@pytest.fixture
def hostile(tmp_path):
    """Files that make decoders complain, among them libtiff, which writes to file descriptor 2 by itself."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"):
        path = folder / f"{compression}.tiff"
        (noise.convert("1") if compression == "group4" else noise).save(path, compression=compression)
        data = bytearray(path.read_bytes())
        for start in range(60, len(data) - 400, 50):
            data[start : start + 20] = bytes(range(start % 200, start % 200 + 20))
        path.write_bytes(data)
    noise.save(folder / "good.tif", compression="tiff_lzw")
    for ending in ("jpg", "png", "gif", "webp"):
        noise.save(folder / f"cut.{ending}")
        data = (folder / f"cut.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(data[: len(data) // 2])
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0d" + header + zlib.crc32(header).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bomb)
    (folder / "text.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    (folder / "exif.jpg").write_bytes(
        (folder / "cut.jpg").read_bytes()[:20] + b"\xff\xe1\x00\x10Exif\0\0MM\0*\xff\xff\xff\xff"
    )
    (folder / "empty.bmp").touch()
    return folder


def assert_only_afd_speaks(out, err, total):
    assert "\x1b" not in out + err
    said = [line.rstrip() for line in err.splitlines() if line.strip()]
    lines = [line for line in said if not line.startswith("Compiling the classifier")]  # said once a cache
    assert re.fullmatch(rf"\d+ of {total} photos could not be used:", lines[0]), err
    assert all(line.startswith("  ") for line in lines[1:]), err
    assert re.match(r"  and \d+ more\. Look for the status 'error' in ", lines[-1])


@pytest.mark.slow
def test_hostile_files_write_nothing_to_the_terminal(hostile, network, tmp_path):
    command = [*AFD, "classify", str(hostile), "-o", str(tmp_path / "rows.csv"), "--workers", "1", *network]
    shown = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD)
    assert shown.returncode == 1
    assert_only_afd_speaks(shown.stdout, shown.stderr, len(list(hostile.iterdir())))
    rows = {row["path"]: row["status"] for row in rows_of(tmp_path / "rows.csv")}
    assert rows["good.tif"] == "ok"
    assert rows["cut.jpg"] == rows["bomb.png"] == rows["empty.bmp"] == "error"


# Ctrl-C


@pytest.mark.slow
def test_ctrl_c_leaves_a_valid_file_that_can_be_gone_on_with(afd, network, tmp_path):
    folder = hard_links(tmp_path / "photos", 400)
    stopped, whole = tmp_path / "stopped.csv", tmp_path / "whole.csv"
    command = ("classify", str(folder), "-o", str(stopped), *network)
    process = subprocess.Popen(
        [*AFD, *command, "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
        start_new_session=True,
    )
    enough = random.randint(1, 100)
    while process.poll() is None and not (stopped.exists() and stopped.read_bytes().count(b"\n") > enough):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, ""), err
    done = len(rows_of(stopped))
    assert enough <= done < 400
    assert re.fullmatch(r"Stopped after [\d,]+ photos\. .*--resume\.\n", err), err
    assert json.loads((tmp_path / "stopped.csv.json").read_text())["complete"] is False
    assert [row["path"] for row in rows_of(stopped)] == [f"{number:04}.jpg" for number in range(done)]

    code, _, err = afd(*command, "--workers", "0")
    assert code == 2
    assert "--resume" in err
    assert afd(*command, "--workers", "0", "--resume")[0] == 0
    assert afd("classify", folder, "-o", whole, "--workers", "0", *network)[0] == 0
    assert stopped.read_bytes() == whole.read_bytes()


def test_the_taps_of_a_backbone_are_listed_without_photos_and_without_weights():
    run = CliRunner().invoke(app.app, ["train", "--list-taps", "--backbone", "test_resnet", "--size", "96"])
    assert run.exit_code == 0, run.output
    lines = [line.split() for line in run.output.splitlines()]
    assert ["stage2", "layer2", "48", "x", "12", "x", "12", "1/8", "map"] in lines
    assert ["layer4", "96", "x", "3", "x", "3", "1/32", "map"] in lines
