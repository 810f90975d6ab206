"""Give a trained AFD module an estimate that measures drift instead of the paper's. Then that has to be trained.

    python benchmarks/measured.py MODULE OUT [--share 0.42]
    afd train PHOTOS --weights OUT --steps 600 --batch-size 32 --learning-rate 4e-3 \
        --feature-weight 0 --stage-weight 0 --logit-weight 0

The paper's map, a number that is nearly the same wherever there is damage, becomes that number, SHARE, inside the last
weights of the enhancer and of the corrections; the new map takes it away where nothing is lost.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from afdcli.methods.afd import AFDModule
from afdcli.models.checkpoint import load_checkpoint, save_checkpoint
from afdcli.options import TrainOptions

LAST = ("enhance.leave.", *(f"later.{number}.2." for number in range(99)))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("module", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--share", type=float, default=0.42)
arguments = parser.parse_args()
torch.manual_seed(0)
checkpoint = load_checkpoint(arguments.module)
old = checkpoint.module
assert isinstance(old, AFDModule)
if not old.is_folded:
    old = old.folded()
new = AFDModule(replace(old.config, estimator="angle", hidden=TrainOptions.hidden))
kept = {name: value for name, value in old.state_dict().items() if not name.startswith("drift.")}
kept |= {name: arguments.share * value for name, value in kept.items() if name.startswith(LAST)}
new.load_state_dict({**new.state_dict(), **kept})
save_checkpoint(replace(checkpoint, module=new), arguments.out)
