"""What is in examples/ and the README's Python run as they say; the example photos get the labels of their table."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "notebook.ipynb"
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


def run(folder, *arguments):
    shown = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


def test_the_example_photos_get_the_right_labels(tmp_path):
    run(tmp_path, "-m", "afdcli", "classify", str(EXAMPLES / "photos"), "--quiet")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    table = (EXAMPLES / "photos" / "README.md").read_text().splitlines()
    promised = {cells[1].strip(" `"): cells[3] for line in table if len(cells := line.split("|")) > 5 and "`" in line}
    assert rows.keys() == promised.keys()
    for name, row in rows.items():
        assert row["status"] == "ok"
        assert row["label_1"].split(",")[0] in promised[name], f"{name} is not {row['label_1']}"
        claimed = re.search(r"-qf(\d+)", name)
        assert claimed is None or row["quality"] == claimed[1]


@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("classify_folder.py", (), "tabby-cat.png: perhaps tiger cat"),
        ("measure_compression.py", (), "jpeg 10: 0."),
        ("make_copies.py", ("copies",), "kitchen/espresso-qf10.jpg: 6 copies"),
    ],
)
def test_each_script_does_its_job(script, arguments, shown, tmp_path):
    assert shown in run(tmp_path, str(EXAMPLES / script), str(EXAMPLES / "photos"), *arguments)


@pytest.mark.parametrize(
    ("number", "shown"), list(enumerate(["red-panda.jpg lesser panda", "tiger cat", "jpeg-10/lemur.jpg"]))
)
def test_the_readmes_python_runs_as_it_stands(number, shown, tmp_path):
    shutil.copytree(EXAMPLES / "photos", tmp_path / "photos")
    (tmp_path / "cat.jpg").write_bytes((EXAMPLES / "photos" / "tabby-cat.png").read_bytes())
    (tmp_path / "snippet.py").write_text(SNIPPETS[number])
    assert shown in run(tmp_path, "snippet.py")


def test_the_readme_has_no_python_that_is_not_run():
    assert len(SNIPPETS) == 4  # the last, of a module for any classifier, with the tests of `models/plug`


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
def test_the_notebook_runs_and_writes_nothing_beside_itself():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    before = {path: path.stat().st_mtime_ns for path in EXAMPLES.rglob("*")}
    book = nbformat.read(NOTEBOOK, as_version=4)
    here = {"metadata": {"path": str(EXAMPLES)}}
    nbclient.NotebookClient(book, timeout=600, startup_timeout=600, resources=here).execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", ()) for output in shown) == 2
    assert "tiger cat" in "".join(output.get("text", "") for output in shown)
    assert {path: path.stat().st_mtime_ns for path in EXAMPLES.rglob("*")} == before
