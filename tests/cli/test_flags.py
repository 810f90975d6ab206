"""A field of an options object is all that a flag takes."""

import inspect
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import shellingham
import typer
from annotated_doc import Doc
from PIL import Image

import afdcli
from afdcli.cli import app as commands
from afdcli.cli import docs
from afdcli.cli.flags import command
from afdcli.commands.degrade import Degrading
from afdcli.errors import WrongUse
from afdcli.options import (
    RECIPES,
    BenchOptions,
    ClassifyOptions,
    DegradeOptions,
    EvaluateOptions,
    ExportOptions,
    FuseOptions,
    TrainOptions,
)
from afdcli.options.fields import fields_of
from afdcli.options.rules import AtLeast, OneOf


@dataclass(frozen=True)
class WiderOptions(DegradeOptions):
    """Make copies of a wider kind."""

    frame: Annotated[int, AtLeast(0), Doc("Draw a frame of so many pixels round each copy.")] = 7
    colour: Annotated[str, OneOf("black", "white"), Doc("The colour of the frame.")] = "black"
    bare: Annotated[bool, Doc("Leave the frame out where it is not needed.")] = True
    notes: Annotated[tuple[str, ...], Doc("Notes to write below each copy; may be repeated.")] = ()


def wider_app():
    """An app with one more command, which degrades."""
    app = typer.Typer()
    seen = []

    @command(app, WiderOptions)
    def degrade(given):
        options = given.options({"degradations": "jpeg:10"})
        seen.append(options)
        for _ in Degrading(options).copies():
            pass

    @app.command()
    def other():
        """Typer needs two commands."""

    return app, seen


@pytest.mark.slow
def test_a_new_field_is_a_flag_an_entry_in_the_json_and_a_line_in_the_docs(tmp_path, capsys):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    app, _ = wider_app()
    app(["degrade", "--help"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("--frame", "Draw a frame", "black|white", "--no-bare", "--notes", "(7)"))
    app(["degrade", str(tmp_path / "a.png"), str(tmp_path / "out"), "--frame", "3"], standalone_mode=False)
    options = json.loads((tmp_path / "out" / "jpeg-10.csv.json").read_text())["options"]
    assert (options["frame"], options["colour"], options["bare"], options["notes"]) == (3, "black", True, [])
    assert "| `--frame INTEGER` | Draw a frame of so many pixels round each copy. | 7 |" in docs.page(app)


@pytest.mark.slow
def test_values_come_in_the_types_of_the_fields(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    app, seen = wider_app()
    line = ["degrade", str(tmp_path / "a.png"), str(tmp_path / "out"), "--notes", "a", "--notes", "b", "--no-bare"]
    app([*line, "--size", "4", "--exif", "ignore"], standalone_mode=False)
    (options,) = seen
    assert (options.notes, options.bare, options.size, options.read.exif) == (("a", "b"), False, 4, "ignore")
    assert options.destination == Path(tmp_path / "out")


def refusal(make):
    with pytest.raises(WrongUse) as error:
        make()
    return str(error.value)


@pytest.mark.parametrize(
    ("line", "make"),
    [
        ("classify a --topk 0", lambda: ClassifyOptions("a", topk=0)),
        ("classify a --topk many", lambda: ClassifyOptions("a", topk="many")),
        ("classify a -o a.cvs", lambda: ClassifyOptions("a", "a.cvs")),
        ("classify a --engine openvion", lambda: ClassifyOptions("a", model=afdcli.ModelOptions(engine="openvion"))),
        ("classify a --precision half", lambda: ClassifyOptions("a", model=afdcli.ModelOptions(precision="half"))),
        ("classify a --icc aply", lambda: ClassifyOptions("a", read=afdcli.ReadOptions(icc="aply"))),
        ("classify a --cluster rya", lambda: ClassifyOptions("a", cluster="rya")),
        ("evaluate a --order crop-frist", lambda: EvaluateOptions("a", order="crop-frist")),
        ("evaluate a --passes 1,zwei", lambda: EvaluateOptions("a", passes="1,zwei")),
        ("evaluate a --passes 1,1", lambda: EvaluateOptions("a", passes=(1, 1))),
        ("evaluate a --level wepb:10", lambda: EvaluateOptions("a", levels="wepb:10")),
        ("train a --method adf", lambda: TrainOptions("a", method="adf")),
        ("train a --clean-share 2", lambda: TrainOptions("a", clean_share=2)),
        ("train a --pixel-weight -1", lambda: TrainOptions("a", pixel_weight="-1")),
        ("bench a --seconds 0", lambda: BenchOptions("a", seconds="0")),
        ("export a.onx --photos b", lambda: ExportOptions("a.onx", "b")),
        ("export a.onnx --photos b --format onxx", lambda: ExportOptions("a.onnx", "b", "onxx")),
        ("fuse a b.pt --photos c", lambda: FuseOptions("a", "b.pt", "c")),
    ],
)
def test_python_and_the_command_line_refuse_in_the_same_words(line, make):
    assert refusal(lambda: commands.app(line.split(), standalone_mode=False)) == refusal(make)


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("classify a --engine opnvino", "openvino"),
        ("evaluate a --preset imagenetc", "imagenet-c"),
        ("train a --recipe papre", "paper"),
        ("degrade a b --level avfi:10", "avif"),
        ("degrade a b --qf 10 --subsampling 4:2:1", "4:2:"),
    ],
)
def test_a_wrong_choice_names_those_allowed_and_the_nearest(line, near):
    said = refusal(lambda: commands.app(line.split(), standalone_mode=False))
    assert "must be one of " in said
    assert f"The nearest is '{near}" in said


def test_a_preset_lies_between_the_default_and_what_was_given():
    app, seen = typer.Typer(), []

    @command(app, TrainOptions)
    def train(given):
        seen.append(given.options(RECIPES["paper"]))

    app(["photos", "--width", "4"], standalone_mode=False)
    assert (seen[0].tap, seen[0].width, seen[0].depth) == ("stem", 4, TrainOptions.depth)


def test_commas_may_have_blanks_beside_them():
    seen = []
    app = typer.Typer()

    @command(app, EvaluateOptions)
    def evaluate(given):
        seen.append(given.options())

    app(["a", "--weights", "none, auto", "--passes", "1, 2"], standalone_mode=False)
    assert (seen[0].weights, seen[0].passes) == (("none", "auto"), (1, 2))


@pytest.mark.parametrize("weight", ["--feature-weight", "--stage-weight", "--pixel-weight", "--quality-weight"])
def test_every_loss_has_a_weight(weight, capsys):
    commands.app(["train", "--help"], standalone_mode=False)
    assert weight in capsys.readouterr().out


def test_every_field_has_a_flag_or_short_cuts():
    for kind in (ClassifyOptions, EvaluateOptions, TrainOptions, FuseOptions, BenchOptions, ExportOptions):
        page = docs.page().split(f"## afd {kind.__name__.removesuffix('Options').lower()}\n")[1].split("\n## ")[0]
        used = {field.names[0] for field in fields_of(kind) if not field.unused}
        for field in fields_of(kind):
            if field.name != "levels" and not (field.unused and field.names[0] in used):
                assert (f"| `{field.names[0]}" in page) is not field.unused, field.name


# Version and completion


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_that_of_afd(flag, capsys):
    commands.app([flag], standalone_mode=False)
    assert capsys.readouterr().out == f"afd {afdcli.__version__}\n"


def shell(name, words, program="afd"):
    """What a shell would offer after `words`, and what heavy packages that took."""
    code = (
        f"import sys\nsys.argv = [{program!r}]\nfrom afdcli.cli.app import main\ntry:\n    main()\nfinally:\n"
        "    print('heavy', sorted({'torch', 'timm', 'numpy', 'PIL'} & sys.modules.keys()))"
    )
    env = {
        "_AFD_COMPLETE": f"complete_{name}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_TYPER_COMPLETE_ARGS": words,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    *offered, heavy = done.stdout.splitlines()
    assert heavy == "heavy []"
    return "\n".join(offered)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "offered", "others"),
    [
        ("bash", "afd classify --backbone efficientnet_b", "efficientnet_b0", "resnet18"),
        ("zsh", "afd classify --engine o", "onnxruntime", "torch"),
        ("fish", "afd export --format ", "openvino", "webp"),
        ("bash", "afd degrade a b --level w", "webp", "jpeg"),
        ("fish", "afd evaluate --preset ", "imagenet-c", "paper"),
    ],
)
def test_names_are_completed_without_importing_torch(name, words, offered, others):
    found = shell(name, words)
    assert offered in found
    assert others not in found


@pytest.mark.parametrize(
    ("name", "script"),
    [("bash", ".bash_completions/afd.sh"), ("zsh", ".zfunc/_afd"), ("fish", ".config/fish/completions/afd.fish")],
)
def test_completion_can_be_installed_and_shown(name, script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda: (name, name))
    with pytest.raises(SystemExit, match="0"):
        commands.app(["--show-completion"], standalone_mode=False, prog_name="afd")
    assert f"_AFD_COMPLETE=complete_{name}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        commands.app(["--install-completion"], standalone_mode=False, prog_name="afd")
    assert f"_AFD_COMPLETE=complete_{name}" in (tmp_path / script).read_text()


# The house


def test_the_file_of_the_commands_stays_short():
    assert len(inspect.getsource(commands).splitlines()) <= 250
