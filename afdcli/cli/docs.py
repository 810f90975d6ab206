"""docs/cli.md: every command and flag, from the same declarations as `--help`. Write it anew with:

python -m afdcli.cli.docs > docs/cli.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from afdcli.cli.app import app

HEAD = """# The commands of afd

All that `afd --help` and `afd COMMAND --help` tell. This page is written by `python -m afdcli.cli.docs > docs/cli.md`.
"""


def page(app: typer.Typer = app) -> str:
    """The page, as Markdown."""
    program: Any = typer.main.get_command(app)
    lines = [HEAD, program.help or "", "", program.epilog or "", "", *_table(program), ""]
    for name, command in program.commands.items():
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        required = [f"{param.opts[0]} ..." for param in command.params if param.required and param not in arguments]
        usage = ["afd", name, *(_argument(param) for param in arguments), *required, "[OPTIONS]"]
        lines += [f"## afd {name}", "", command.help or "", "", f"    {' '.join(usage)}", "", *_table(command), ""]
    return "\n".join(lines).rstrip() + "\n"


def _argument(param: Any) -> str:
    return f"{param.metavar} ..." if param.nargs == -1 else str(param.metavar)


def _table(command: Any) -> Iterator[str]:
    """A row for each argument and flag of `command`: what it is called, what it does, its default."""
    yield "| | what it does | default |"
    yield "|---|---|---|"
    for param in command.params:
        if param.param_type_name == "argument":
            name = _argument(param)
        else:
            value = "" if param.is_flag else f" {param.metavar}"
            name = ", ".join([*param.opts, *param.secondary_opts]) + value
        yield f"| {_cell(f'`{name}`')} | {_cell(param.help)} | {_cell(_default(param))} |"


def _default(param: Any) -> str:
    shown = getattr(param, "show_default", False)
    if isinstance(shown, str):
        return shown
    return "" if not shown or param.default is None or param.default is False else str(param.default)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    print(page(), end="")
