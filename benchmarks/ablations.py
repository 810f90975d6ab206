"""What each choice in training is worth: short trainings that differ in one flag, on the photos held out.

    python benchmarks/ablations.py PHOTOS FOLDER [--steps 500] [ROW ...]

Prints a row for each, as in `ablations.md`: how much of what compression does to the prediction (the Kullback-Leibler
divergence from the original's) is won back, the share of damaged and of undamaged photos that get their original's
class, and multiply-adds. Trainings that are in FOLDER already are not run again.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path

from afdcli.models.backbones import load_backbone
from afdcli.models.checkpoint import load_checkpoint
from afdcli.models.classifier import with_module
from afdcli.options import DEFAULT_BACKBONE

ROWS = {
    "default": "",
    "wide": "--growth 2 --hidden 64 --rank 128",
    "paper": "--recipe paper",
    "stem": "--tap stem",
    "stage1": "--tap stage1",
    "no-later": "--rank 0",
    "stage1-no-later": "--tap stage1 --rank 0",
    "wide-no-later": "--growth 2 --hidden 64 --rank 0",
    "wide-stage1-no-later": "--tap stage1 --growth 2 --hidden 64 --rank 0",
    "rank-32": "--rank 32",
    "width-12": "--width 12",
    "width-48": "--width 48",
    "paper-estimator": "--estimator paper --hidden 32",
    "pooled": "--estimator paper --hidden 32 --pooled",
    "no-clean": "--clean-share 0",
    "no-teacher": "--stage-weight 0 --logit-weight 0",
    "logits-alone": "--feature-weight 0 --stage-weight 0 --logit-weight 1",
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos", type=Path)
parser.add_argument("folder", type=Path)
parser.add_argument("rows", nargs="*", choices=ROWS, default=[*ROWS])
parser.add_argument("--steps", default="500")
arguments = parser.parse_args()

print(f"| `afd train PHOTOS --steps {arguments.steps}` and | divergence won back | damaged | undamaged | MACs |")
print("| --- | --- | --- | --- | --- |")
for name in arguments.rows:
    output = arguments.folder / f"{name}.safetensors"
    log = output.with_suffix(".csv")
    if not output.with_suffix(".png").exists():  # which is drawn at the end
        steps = ("--steps", arguments.steps, "--validate-every", arguments.steps)
        command = (sys.executable, "-m", "afdcli", "train", arguments.photos, "--output", output, *steps)
        log.unlink(missing_ok=True)
        log.with_suffix(".csv.json").unlink(missing_ok=True)
        subprocess.run([*command, *ROWS[name].split()], check=True, stderr=subprocess.DEVNULL)
    with log.open(newline="", encoding="utf-8") as file:
        *_, last = csv.DictReader(file)
    checkpoint = load_checkpoint(output)
    folded = with_module(checkpoint, load_backbone(DEFAULT_BACKBONE), output)
    folded.module = checkpoint.module.folded()
    won = 1 - float(last["divergence"]) / float(last["divergence_without"])
    classes = f"{float(last['agreement']):.1f} % | {float(last['clean']):.1f} %"
    print(
        f"| `{ROWS[name] or 'nothing else'}` | {100 * won:.1f} % | {classes} | {folded.added_macs() / 1e6:.0f} M |",
        flush=True,
    )
