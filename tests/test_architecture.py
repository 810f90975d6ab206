"""The house stands as it was planned: imports point down, starting is light, and nothing is longer than can be read."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import afdcli

ROOT = Path(afdcli.__file__).parents[1]
LIGHT = (
    "atomic",
    "cli.app",
    "cli.flags",
    "cli.shortcuts",
    "errors",
    "formats",
    "library",
    "machines.hardware",
    "options",
)
"""Rooms and files that every start of afd imports, `--help` too: the standard library and Typer must do for them."""
WITHOUT_TORCH = (
    "commands.classify",
    "commands.degrade",
    "commands.evaluate",
    "engines",
    "machines",
    "models.description",
    "photos",
    "results",
    "training.mixture",
    "training.pairs",
)
"""Rooms and files that worker processes import, or classifying from the cache: torch would cost them seconds."""
LINES = {ast.ClassDef: 150, ast.FunctionDef: 60}
FILE_LINES = 400

# What is still to be mended; nothing may be added here.
HEAVY: set[str] = set()
LONG: set[str] = set()


def modules_of(name: str) -> list[str]:
    """The module `name` of afd, or, if that is a room, all in it."""
    folder = ROOT / "afdcli" / name.replace(".", "/")
    files = sorted(file.name for file in pkgutil.iter_modules([str(folder)])) if folder.is_dir() else []
    return [f"afdcli.{name}", *(f"afdcli.{name}.{file}" for file in files)]


def imported(*names: str) -> set[str]:
    """The packages, but for the standard library's, that a fresh process has imported after it imports `names`."""
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in run.stdout.split()} - {*sys.stdlib_module_names, "afdcli"}


def test_imports_point_down_and_go_in_no_circle(capsys, monkeypatch):
    """The contracts are in pyproject.toml."""
    monkeypatch.chdir(Path(__file__).parents[1])
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_what_every_start_imports_needs_the_standard_library_and_typer_alone():
    assert imported(*(one for room in LIGHT for one in modules_of(room))) <= imported("typer")


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_what_workers_import_needs_no_torch(name):
    assert not {"torch", "torchvision", "timm"} & imported(*modules_of(name))


@pytest.mark.slow
def test_nothing_is_longer_than_can_be_read():
    long = set()
    for path in (ROOT / "afdcli").rglob("*.py"):
        name, text = path.relative_to(ROOT / "afdcli").as_posix(), path.read_text(encoding="utf-8")
        if len(text.splitlines()) > FILE_LINES:
            long.add(name)
        for node in ast.walk(ast.parse(text)):
            limit = LINES.get(ast.FunctionDef if isinstance(node, ast.AsyncFunctionDef) else type(node))
            if limit is not None and node.end_lineno - node.lineno + 1 > limit:
                long.add(f"{name}: {node.name}")
    assert long <= LONG
