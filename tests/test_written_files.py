"""docs/files.md is right: each command writes what the table says, and no file of somebody else's in its place."""

import logging
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from afdcli.cli import app

pytestmark = pytest.mark.slow

torch.set_num_threads(1)  # Threads that wait for a busy processor make small networks many times slower.

DOCS = Path(__file__).parents[1] / "docs" / "files.md"


def table():
    """What docs/files.md says: the files, for each command as it is written there."""
    found = defaultdict(list)
    for command, file in re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE):
        found[command].append(file)
    return dict(found)


TABLE = table()
written: list[str] = []


def watch(event, arguments):
    """Python's own report of what a process does: files opened for writing, and names given."""
    if event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1]):
        written.append(str(arguments[0]))
    elif event == "os.rename":
        written.append(str(arguments[1]))


sys.addaudithook(watch)


@pytest.fixture
def run(tmp_path, photos, dedrifted, monkeypatch, capfd):
    """Runs a line of the table in a folder of its own: gives the exit code, and what was said."""
    network, module = dedrifted
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    backbone = ["--backbone", "test_resnet", "--backbone-checkpoint", str(network)]
    classifier = [*backbone, "--weights", str(module)]
    steps = ["--steps", "2", "--validate-every", "1", "--batch-size", "2", "--width", "4"]
    work = ["--workers", "0", "--quiet"]
    arguments = {
        "classify": [str(photos), *classifier, *work],
        "evaluate": [str(photos), *classifier, *work, "--jpeg", "10"],
        "degrade": work,
        "train": [str(photos), *backbone, *work, *steps],
        "fuse": ["--photos", str(photos), "--backbone-checkpoint", str(network)],
        "export": ["--photos", str(photos), *classifier],
        "explain": [*classifier, "--qf", "10"],
        "gallery": ["--photos", str(photos), *work],
    }
    (tmp_path / "rows.csv").write_text("path,status,format,label_1,index_1,prob_1\na.jpg,ok,JPEG,cat,0,0.9\n")
    names = {"SRC": str(photos), "IN": str(module), "PHOTO": str(photos / "a.jpg"), "ROWS": str(tmp_path / "rows.csv")}

    def run(line, *more):
        command, *rest = line.split(" ")
        if "--lose" in rest:  # finds its levels itself
            arguments["evaluate"] = [str(photos), *classifier, *work]
        line = [command, *(names.get(word, word) for word in rest), *arguments[command], *more]
        monkeypatch.setattr(sys, "argv", ["afd", *line])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code or 0, capfd.readouterr().err

    yield run
    logging.disable(logging.NOTSET)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_command_that_writes_is_in_the_table():
    listed = {command.split(" ")[0] for command in TABLE}
    assert listed == {command.name or command.callback.__name__ for command in app.app.registered_commands} - {"bench"}


@pytest.mark.parametrize("line", TABLE)
def test_a_command_writes_what_the_table_says(run, tmp_path, line):
    written.clear()
    assert run(line)[0] == 0
    out = tmp_path / "out"
    places = [Path(out, path).resolve() for path in written]
    seen = {str(path.relative_to(out)) for path in places if path.is_relative_to(out)} | tree(out).keys()
    seen = {name for name in seen if not any(part.startswith(".") for part in Path(name).parts)}
    copies = {name for name in seen if "/jpeg-10/" in name or "/thumbs/" in name}
    assert len(copies) == {"degrade": 6, "gallery": 1}.get(line.split(" ")[0], 0)
    assert seen - copies == {file for file in TABLE[line] if "PHOTO" not in file}


@pytest.mark.parametrize(("line", "file"), [(line, file) for line, files in TABLE.items() for file in files])
def test_a_foreign_file_in_its_place_is_refused_and_stays(run, tmp_path, line, file):
    path = tmp_path / "out" / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("precious")
    before = tree(tmp_path)
    for more in ((), ("--overwrite",)):
        code, said = run(line, *more)
        assert code == 2 and "exists, and" in said
        assert tree(tmp_path) == before


@pytest.mark.parametrize("line", [line for line in TABLE if not line.startswith(("degrade", "export NAME.onnx"))])
def test_a_finished_result_is_replaced_only_with_overwrite(run, tmp_path, line):
    assert run(line)[0] == 0
    before = tree(tmp_path)
    code, said = run(line)
    assert code == 2 and "--overwrite" in said
    assert tree(tmp_path) == before
    assert run(line, "--overwrite")[0] == 0
    assert tree(tmp_path).keys() == before.keys()
