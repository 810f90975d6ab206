"""The methods: one paper, one file; what they share is in `remedy`."""

from afdcli.methods.afd import AFDModule
from afdcli.methods.augment import Augmentation
from afdcli.methods.ddp import DDPModule
from afdcli.methods.fct import FCTModule
from afdcli.methods.remedy import Remedy
from afdcli.methods.restore import ARCNN

_REMEDIES: tuple[type[Remedy], ...] = (AFDModule, FCTModule, DDPModule, Augmentation, ARCNN)
METHODS = {remedy.method: remedy for remedy in _REMEDIES}
"""By the name on the command line."""
