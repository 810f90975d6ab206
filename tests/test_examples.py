"""The scripts in examples/ run as they say, and the example photos get the labels that their table promises."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


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
