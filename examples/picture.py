"""Draw README.md's picture: a real run of `afd classify examples/photos`, as a terminal shows it.

python examples/picture.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

folder = Path(__file__).parent
with tempfile.TemporaryDirectory() as scratch:
    Path(scratch, "examples").symlink_to(folder)
    run = subprocess.run(
        [sys.executable, "-m", "afdcli", "classify", "examples/photos", "--output", "predictions.csv"],
        cwd=scratch,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "88"},
        capture_output=True,
        text=True,
    )
console = Console(record=True, width=88, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
console.print("[bold green]$[/] afd classify examples/photos")
console.print(Text.from_ansi(run.stdout))
console.save_svg(str(folder / "run.svg"), title="afd")
