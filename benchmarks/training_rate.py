"""Training, pairs a second: an older commit of afd against this one, in one run, in turn.

    git worktree add ../before COMMIT
    python benchmarks/training_rate.py PHOTOS --before ../before [--steps 60] [--rounds 5] [--backbone NAME]

Each round trains both from the same photos with the same flags, each in a process of its own, and times what lies
between the first step and the last but one: neither start-up nor validation. Prints the rates, and this one's over the
other's in each round, with their median. Without --before, the rate alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
TRAIN = """
if __name__ == "__main__":  # worker processes read this file too, and must not import torch
    import sys, time
    from pathlib import Path
    from afdcli import ModelOptions, TrainOptions, Training
    from afdcli.machines.hardware import reuse_memory

    photos, out, backbone, checkpoint, steps, batch_size, workers = sys.argv[1:]
    reuse_memory()
    options = TrainOptions(
        photos=(photos,),
        output=Path(out, "module.safetensors"),
        steps=int(steps),
        validate_every=int(steps),
        model=ModelOptions(backbone, Path(checkpoint) if checkpoint else None, batch_size=int(batch_size)),
        workers=int(workers),
    )
    at = [time.perf_counter() for _ in Training(options).steps()]
    print((len(at) - 2) * int(batch_size) / (at[-2] - at[0]))
"""
"""What is run with each: only names that stay from version to version."""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos", type=Path)
parser.add_argument("--before", type=Path, help="a worktree of an older commit")
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--backbone", default="tf_efficientnet_lite0")
parser.add_argument("--backbone-checkpoint", default="")
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--workers", type=int, default=1)


def rate(version: Path, arguments: argparse.Namespace) -> float:
    """Pairs a second that the afd in the folder `version` learns from."""
    checkpoint = arguments.backbone_checkpoint and Path(arguments.backbone_checkpoint).resolve()
    asked = (arguments.backbone, checkpoint, arguments.steps, arguments.batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch, "train.py")
        script.write_text(TRAIN)
        done = subprocess.run(
            [sys.executable, script, arguments.photos.resolve(), scratch, *map(str, asked), str(arguments.workers)],
            cwd=scratch,  # worker processes look for afd where they are before they look in PYTHONPATH
            env={**os.environ, "PYTHONPATH": str(version.resolve())},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return float(done.stdout)


if __name__ == "__main__":
    arguments = parser.parse_args()
    if arguments.steps < 3:
        parser.error("--steps must be 3 or more.")
    ratios = []
    for number in range(1, arguments.rounds + 1):
        before = rate(arguments.before, arguments) if arguments.before else None
        now = rate(HERE, arguments)
        if before is None:
            print(f"round {number}: {now:.1f} pairs a second", flush=True)
            continue
        ratios.append(now / before)
        print(f"round {number}: before {before:.1f}, now {now:.1f} pairs a second: {now / before:.3f}", flush=True)
    if ratios:
        print(f"median: {statistics.median(ratios):.3f} of the rate before")
