"""The methods: one paper, one file; what they share is in `remedy`."""

from afdcli.methods.afd import AFDModule
from afdcli.methods.augment import Augmentation
from afdcli.methods.ddp import DDPModule
from afdcli.methods.remedy import Remedy
from afdcli.methods.restore import ARCNN

METHODS: dict[str, type[Remedy]] = {remedy.method: remedy for remedy in (AFDModule, DDPModule, Augmentation, ARCNN)}
"""By the name on the command line."""
