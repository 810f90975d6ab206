"""Whether a module goes into every classifier of timm: the smallest model of each of its files, random weights.

    python benchmarks/backbones.py [FILE ...] [--all-names] [--out benchmarks/backbones.md]

At the place that `--tap auto` stands for: with an untrained module the logits must be those of the model itself, bit
for bit; a step of training must change the module and nothing else; and the module, folded, saved and read again, must
give the same logits. Models above 40 million weights are put together on the meta device, for shapes only. With
--all-names every name of timm is looked at so: some 30 minutes of one core.
"""

import argparse
import gc
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from timm.models._registry import _model_to_module

from afdcli.errors import AfdError
from afdcli.methods.afd import AFDConfig, AFDModule
from afdcli.models.backbones import Backbone, untrained_backbone
from afdcli.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from afdcli.models.classifier import DedriftedClassifier, with_module
from afdcli.models.origin import Input
from afdcli.models.places import Place
from afdcli.photos.preprocessing import Preprocessing

SMALLEST = """
    beit_base_patch16_224 halonet_h1 test_byobnet cait_xxs24_224 coat_tiny convit_tiny convmixer_768_32 test_convnext
    cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspnext_tiny davit_tiny deepseek_vit_412m
    deit_tiny_patch16_224 densenet121 dla46x_c dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0
    test_efficientnet efficientvim_m1 efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fasternet_t0 fastvit_t8
    focalnet_tiny_srf gcvit_xxtiny gemma4_vit_167m ghostnet_050 hardcorenas_b hgnetv2_b0 hiera_tiny_224 sam2_hiera_tiny
    hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4 lcnetv2_small
    levit_128s lowformer_b0 test_mambaout test_coatnet poolformerv2_s12 gmlp_ti16_224 mobilenetv3_small_050
    mobilenetv5_base mobilevit_xxs mvitv2_tiny naflexvit_base_patch16_gap nasnetalarge nest_tiny nextvit_small
    test_nfnet pit_ti_224 pnasnet5large pvt_v2_b0 qwen3_vit_88m rdnet_tiny regnetx_002 repghostnet_050 repvit_m1
    res2net50_48w_2s resnest14d test_resnet resnetv2_18 rexnet_100 selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1
    skresnet18 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224
    tiny_vit_5m_224 tnt_s_legacy_patch16_224 tresnet_m twins_svt_small vgg11 visformer_tiny test_vit
    vit_tiny_r_s16_p8_224 test_vit_relpos samvit_base_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim_dw
    legacy_xception xception41p xcit_nano_12_p8_224
"""
"""The smallest model of each file of timm 1.0.31. Of a file that is newer, the first one stands for it."""
TAPS = ("auto", "stem", "stage1", "stage2")


@dataclass(frozen=True)
class Plugged:
    """What became of one model."""

    model: str
    taps: dict[str, str]
    """What the short names stand for, and the layout of the features there."""
    how: str
    """`numbers`, or `shapes` on the meta device."""
    refused: str = ""
    """The sentence that refuses it."""


def check(name: str) -> Plugged:
    """Put modules into the model `name`, and assert that all is as it must be.

    Raises:
        AssertionError: something is not.
    """
    torch.manual_seed(0)
    try:
        size = timm.get_pretrained_cfg(name).input_size[-1]
        backbone = untrained_backbone(name, Input(Preprocessing(size), (0.5,) * 3, (0.5,) * 3))
        found = {tap: place for tap in TAPS if (place := _place(backbone, tap))}
        backbone.tap("auto")
    except AfdError as error:
        return Plugged(name, {}, "", str(error))
    is_meta = any(parameter.is_meta for parameter in backbone.model.parameters())
    if is_meta:
        _check_shapes(backbone, "auto")
    else:
        _check_numbers(backbone, "auto")
    taps = {
        tap: f"`{place.name}` {place.channels}, 1/{place.reduction:.3g}, {place.layout}" for tap, place in found.items()
    }
    return Plugged(name, taps, "shapes" if is_meta else "numbers")


def _place(backbone: Backbone, tap: str) -> Place | None:
    try:
        return backbone.tap(tap).place
    except AfdError:
        return None


def _module(backbone: Backbone, tap: str) -> AFDModule:
    found = backbone.tap(tap)
    return AFDModule(AFDConfig(found.place.channels, width=4, depth=1, hidden=8, later=found.widths, rank=4)).eval()


def _check_shapes(backbone: Backbone, tap: str) -> None:
    size = backbone.preprocessing.size
    with torch.device("meta"), torch.no_grad():
        network = DedriftedClassifier(backbone, _module(backbone, tap), tap).eval()
        images = torch.rand(2, 3, size, size)
        assert network(images).shape == DedriftedClassifier(backbone).eval()(images).shape


def _check_numbers(backbone: Backbone, tap: str) -> None:
    model, size = backbone.model, backbone.preprocessing.size
    with torch.no_grad():  # a new model has constants that hide faults: layer scales of 1e-5, heads of zero
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    module, images = _module(backbone, tap), torch.rand(2, 3, size, size)
    network = DedriftedClassifier(backbone, module, tap).eval()
    plain = DedriftedClassifier(backbone).eval()
    logits = network(images)
    with torch.enable_grad():  # some models compute otherwise without
        assert torch.equal(logits.detach(), plain(images.requires_grad_()).detach()), (
            "an untrained module changes logits"
        )
    optimizer = torch.optim.SGD(module.parameters(), 1.0)
    logits.float().log_softmax(1)[:, 0].sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items()), "a step changes the model"
    assert list(model.state_dict()) == list(before)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        moved = network(images)
        assert not torch.equal(moved, logits), "a module changes nothing"
        path = Path(folder, "module.safetensors")
        save_checkpoint(Checkpoint(module.folded(), tap, backbone.name, backbone.fingerprint), path)
        again = with_module(load_checkpoint(path), backbone, path).eval()(images)
        scale = float(moved.abs().max()) + 1e-6
        assert float((again - moved).abs().max()) <= 2e-3 * scale, "folded, saved and read it gives other logits"


def models(files: Iterable[str], all_names: bool) -> Iterator[tuple[str, str]]:
    """The file and the name of each model to look at."""
    by_file: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        by_file[_model_to_module[name]].append(name)
    for file in files or sorted(by_file):
        names = by_file[file]
        smallest = [name for name in names if name in SMALLEST.split()] or names[:1]
        yield from ((file, name) for name in (names if all_names else smallest[:1]))


def main() -> None:
    """Look at all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--all-names", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines: list[str] = []
    passed: set[str] = set()
    for file, name in models(arguments.files, arguments.all_names):
        begin = time.perf_counter()
        try:
            one = check(name)
            said = one.refused or "; ".join(f"{tap}: {place}" for tap, place in one.taps.items())
            passed |= {file} if one.taps else set()
            how = one.how or "refused"
        except Exception as error:
            said, how = f"{type(error).__name__}: {str(error).splitlines()[:1]}", "FAILED"
        lines.append(f"| {file} | {name} | {how} | {said} |")
        print(f"{file} {name} {how} {time.perf_counter() - begin:.1f} s: {said}", flush=True)
        gc.collect()
    names = timm.list_models()
    there = sum(_model_to_module[name] in passed for name in names)
    total = (
        f"A module goes into {len(passed)} files, which have {there} of {len(names)} names of timm {timm.__version__}"
    )
    print(total)
    if arguments.out:
        head = f"# Every model file of timm\n\n{total}.\n\n| file | model | with | taps |\n| --- | --- | --- | --- |\n"
        arguments.out.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
