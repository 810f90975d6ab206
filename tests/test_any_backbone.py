"""Ten families through all commands: trained, folded, measured, used, exported as everything, and run compiled."""

import csv
import os

import pytest
import timm
import torch
from safetensors.torch import save_file

from afdcli import (
    Classification,
    ClassifyOptions,
    Compression,
    EvaluateOptions,
    Evaluation,
    ExportOptions,
    FuseOptions,
    ModelOptions,
    Training,
    TrainOptions,
    export,
    fuse,
)
from afdcli.formats.exports import EXPORTS

pytestmark = pytest.mark.slow
FAMILIES = ["test_convnext", "efficientvit_b0", "mobilenetv4_conv_small_050", "regnetx_002"]
LARGE = [
    "swin_tiny_patch4_window7_224",
    "densenet121",
    "vgg11",
    "eva02_tiny_patch14_224",
    "gmlp_ti16_224",
    "fastvit_t8",
]
"""A minute or more each: they run where AFD_ALL_FAMILIES is set."""
large = pytest.mark.skipif("AFD_ALL_FAMILIES" not in os.environ, reason="set AFD_ALL_FAMILIES to run large families")


@pytest.mark.parametrize("name", [*FAMILIES, *(pytest.param(name, marks=large) for name in LARGE)])
def test_a_family_goes_through_all_commands(name, photos, tmp_path):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = tmp_path / "network.safetensors"
    save_file(timm.create_model(name, num_classes=8).state_dict(), network)
    model = ModelOptions(name, network, "cpu", batch_size=4, engine="torch")
    trained, folded = tmp_path / "trained.safetensors", tmp_path / "folded.safetensors"
    run = Training(
        TrainOptions((str(photos),), trained, model=model, steps=2, width=4, depth=1, hidden=8, rank=4, workers=0)
    )
    assert [step.number for step in run.steps()] == [1, 2]
    fused = fuse(FuseOptions(trained, folded, photos=(str(photos),), backbone_checkpoint=network))
    assert fused.difference < 1e-4

    levels = (Compression("jpeg", 10),)
    asked = EvaluateOptions(photos, levels=levels, weights=("none", str(folded)), model=model, workers=0)
    evaluation = Evaluation(asked, writes=False)
    assert not any(photo.error for photo in evaluation.photos())
    assert {row["weights"] for row in evaluation.rows()} == {"none", str(folded)}

    rows = {}
    for engine in ("torch", "openvino"):
        output = tmp_path / f"{engine}.csv"
        options = ClassifyOptions(
            (str(photos),),
            output,
            weights=str(folded),
            model=ModelOptions(name, network, "cpu", engine=engine),
            workers=0,
        )
        list(Classification(options).rows())
        rows[engine] = list(csv.DictReader(output.open(encoding="utf-8")))
    for own, compiled in zip(*rows.values(), strict=True):
        assert own["status"] == "ok" and own["path"] == compiled["path"]
        assert float(own["prob_1"]) == pytest.approx(float(compiled["prob_1"]), abs=2e-3)
        assert float(own["drift"]) == pytest.approx(float(compiled["drift"]), abs=0.1)

    exporting = ModelOptions(name, network, "cpu")
    for kind, format_ in EXPORTS.items():
        out = tmp_path / f"exported{format_.ending}"
        made = export(ExportOptions(out, (str(photos),), kind, str(folded), exporting))
        assert made.difference < 1e-3 and made.same_class == made.photos
