"""The methods: one paper, one file; what they share is in `remedy`."""

from importlib import import_module

from afdcli.methods.remedy import Remedy
from afdcli.options.training import METHODS as ROWS


def _remedy(where: str) -> type[Remedy]:
    module, _, name = where.partition(":")
    found: type[Remedy] = getattr(import_module(module), name)
    return found


METHODS = {name: _remedy(method.where) for name, method in ROWS.items()}
"""By the name on the command line."""
