"""What completion offers for a backbone."""

import subprocess
import sys

import timm
import torchvision

from afdcli.options import DEFAULT_BACKBONE
from afdcli.options.groups import backbone_names


def test_every_backbone_of_timm_is_offered_the_default_first():
    assert backbone_names()[0] == DEFAULT_BACKBONE
    assert set(timm.list_models()) <= set(backbone_names())


def test_every_classifier_of_torchvision_is_offered():
    known = {f"torchvision/{name}" for name in torchvision.models.list_models(module=torchvision.models)}
    assert {name for name in backbone_names() if "/" in name} == known


def test_they_are_found_without_importing_timm():
    code = (
        "import sys\nfrom afdcli.options.groups import backbone_names\nassert backbone_names()\n"
        "print({'torch', 'torchvision', 'timm', 'numpy', 'PIL'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
