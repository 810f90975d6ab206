"""What a user does without afd: timm's own loader and eager model over a folder, top-1 to a CSV.

    python benchmarks/timm_loop.py FOLDER OUT.csv

One unreadable photo gets its neighbour's row, or ends the run; EXIF orientation is not looked at.
"""

import argparse
import csv
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder")
parser.add_argument("out")
arguments = parser.parse_args()
begin = time.perf_counter()

import timm  # noqa: E402
import torch  # noqa: E402
from timm.data import create_dataset, create_loader, resolve_model_data_config  # noqa: E402

from afdcli.models.backbones import load_backbone  # noqa: E402

folder, out = arguments.folder, arguments.out
model = timm.create_model("tf_efficientnet_lite0").eval()
model.load_state_dict(load_backbone("tf_efficientnet_lite0").model.state_dict())
config = resolve_model_data_config(model)
dataset = create_dataset("", root=folder)
loader = create_loader(
    dataset,
    input_size=config["input_size"],
    batch_size=64,
    use_prefetcher=False,
    interpolation=config["interpolation"],
    mean=config["mean"],
    std=config["std"],
    crop_pct=config["crop_pct"],
    num_workers=2,
    device=torch.device("cpu"),
)
rows: list[tuple[int, float]] = []
ready = time.perf_counter()
with torch.inference_mode():
    for images, _ in loader:
        probability, index = model(images).softmax(1).topk(1)
        rows += zip(index[:, 0].tolist(), probability[:, 0].tolist(), strict=True)
with open(out, "w", newline="") as file:  # noqa: PTH123
    csv.writer(file).writerows((name, *row) for name, row in zip(dataset.filenames(basename=False), rows, strict=True))
end = time.perf_counter()
print(f"{len(rows) / (end - ready):.1f} images/s, {len(rows) / (end - begin):.1f} with start-up")
