"""What may be replaced: nothing that is not the same command's own, and that only if it was asked for."""

import os

import pytest
from PIL import Image, PngImagePlugin

from afdcli.errors import OutputExists, OutputRefused
from afdcli.results.record import check_may_write, digest, record, write_record
from afdcli.results.rowfile import files_of

PROGRAM = "afd test"


def picture(path, program=PROGRAM):
    about = PngImagePlugin.PngInfo()
    if program:
        about.add_text("Software", program)
    Image.new("RGB", (4, 4)).save(path, pnginfo=about)
    return path


def rows(path, program=PROGRAM, complete=True, beside=()):
    """A result, and files that its record lists."""
    path.write_text("path\n")
    for one in beside:
        one.write_text("| a |\n")
    files = {one.name: digest(one) if complete else None for one in (path, *beside)}
    write_record(path, {**record(program, {}), "complete": complete, "files": files})
    return path


def check(*paths, overwrite=False, **given):
    check_may_write(paths, PROGRAM, overwrite=overwrite, **given)


def test_what_is_not_there_may_be_written(tmp_path):
    check(tmp_path / "a.png", *files_of(tmp_path / "a.parquet"))


@pytest.mark.parametrize("make", [lambda path: picture(path / "a.png"), lambda path: rows(path / "a.csv")])
def test_what_is_finished_is_replaced_only_if_that_was_asked_for(tmp_path, make):
    path = make(tmp_path)
    with pytest.raises(OutputExists, match=r"is a finished result of afd test\. Add --overwrite .* another OUT\."):
        check(path, flag="OUT")
    check(path, overwrite=True)


def test_what_is_unfinished_is_gone_on_with_or_begun_anew(tmp_path):
    path = rows(tmp_path / "a.csv", complete=False)
    with pytest.raises(OutputRefused, match="Add --resume to go on, or --overwrite") as refusal:
        check(path, resume=False)
    assert not isinstance(refusal.value, OutputExists)
    with pytest.raises(OutputRefused, match="Add --overwrite to start anew"):
        check(path)
    check(path, resume=True)
    check(path, overwrite=True)


def test_one_of_many_that_is_unfinished_makes_all_of_them_so(tmp_path):
    log, module = rows(tmp_path / "a.csv", complete=False), picture(tmp_path / "a.png")
    with pytest.raises(OutputRefused, match="interrupted run"):
        check(module, *files_of(log), resume=False)


def foreign_file(path):
    path.write_text("precious")


def foreign_picture(path):
    Image.new("RGB", (4, 4)).save(path, "png")


def of_another_command(path):
    picture(path, "afd explain") if path.suffix == ".png" else rows(path, "afd explain")


def an_empty_file(path):
    path.touch()


def a_folder(path):
    path.mkdir()


def a_link(path):
    own = path.with_name(f"own{path.suffix}")
    picture(own) if path.suffix == ".png" else rows(own)
    path.symlink_to(own)


def a_link_to_nowhere(path):
    path.symlink_to("nowhere")


def a_link_to_a_device(path):
    path.symlink_to("/dev/null")


def a_pipe(path):
    os.mkfifo(path)


FOREIGN = [
    foreign_file,
    foreign_picture,
    of_another_command,
    an_empty_file,
    a_folder,
    a_link,
    a_link_to_nowhere,
    *([a_link_to_a_device, a_pipe] if hasattr(os, "mkfifo") else []),
]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".png", ".md", ".bin", ".safetensors"])
@pytest.mark.parametrize("make", FOREIGN)
def test_anything_else_is_never_replaced(tmp_path, make, ending):
    path = tmp_path / f"a{ending}"
    make(path)
    for overwrite in (False, True):
        for resume in (None, False, True):
            with pytest.raises(OutputRefused, match=r"a\.[a-z]+' exists, and is ") as refusal:
                check(path, overwrite=overwrite, resume=resume)
            assert not isinstance(refusal.value, OutputExists)


def test_a_result_that_was_edited_is_not_replaced(tmp_path):
    path, table = tmp_path / "a.csv", tmp_path / "a.md"
    rows(path, beside=[table])
    check(path, table, overwrite=True)
    table.write_text("| a | my notes |\n")
    with pytest.raises(OutputRefused, match=r"a\.md' exists, and is not from afd test, or was changed"):
        check(path, table, overwrite=True)
    path.write_text("path,my notes\n")
    with pytest.raises(OutputRefused, match=r"a\.csv' exists, and is not from afd test, or was changed"):
        check(path, overwrite=True)


def test_a_result_of_before_there_were_lists_is_known_by_its_record(tmp_path):
    path = rows(tmp_path / "a.csv")
    write_record(path, {**record(PROGRAM, {}), "complete": True})
    check(path, overwrite=True)


def test_what_the_command_reads_is_not_replaced_under_any_name(tmp_path):
    path = picture(tmp_path / "a.png")
    (tmp_path / "folder").mkdir()
    os.link(path, tmp_path / "other.png")
    for name in (path, str(path), tmp_path / "folder" / ".." / "a.png", tmp_path / "other.png"):
        with pytest.raises(OutputRefused, match="is read by this command"):
            check(path, overwrite=True, inputs=("auto", None, "s3://bucket", "a\0b", name))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputRefused, match="There is no folder"):
        check(tmp_path / "missing" / "a.png")


def test_the_record_of_a_deleted_result_stands_in_nobodys_way(tmp_path):
    path = rows(tmp_path / "a.csv")
    path.unlink()
    check(*files_of(path))


MATPLOTLIB = "Matplotlib version3.8.0, https://matplotlib.org/"


def training_of_before(folder, mark, program="afd train", files=None):
    """An interrupted log and its picture: before, pictures had matplotlib's mark or none, and records no list."""
    log, drawn = folder / "m.csv", picture(folder / "m.png", mark)
    log.write_text("step\n")
    listed = {} if files is None else {"files": files}
    write_record(log, {**record(program, {}), "complete": False, **listed})
    return drawn, *files_of(log)


@pytest.mark.parametrize("files", [None, {"m.csv": None}])
@pytest.mark.parametrize("mark", ["", MATPLOTLIB])
def test_the_picture_of_a_training_of_before_is_its_own_when_it_is_gone_on_with(tmp_path, mark, files):
    """Also once more, when what went on with it was interrupted as well: its record has a list then."""
    paths = training_of_before(tmp_path, mark, files=files)
    check_may_write(paths, "afd train", overwrite=False, resume=True)


@pytest.mark.parametrize("mark", ["", MATPLOTLIB])
def test_the_picture_of_a_training_of_before_may_be_replaced_with_the_rest(tmp_path, mark):
    paths = training_of_before(tmp_path, mark)
    check_may_write(paths, "afd train", overwrite=True, resume=False)
    with pytest.raises(OutputRefused, match="interrupted run"):
        check_may_write(paths, "afd train", overwrite=False, resume=False)


@pytest.mark.parametrize(
    ("mark", "program", "files", "resume"),
    [
        (MATPLOTLIB, "afd train", {"m.csv": None}, False),
        (MATPLOTLIB, "afd evaluate", None, True),
        ("afd explain", "afd train", None, True),
        ("GIMP", "afd train", None, True),
    ],
)
def test_any_other_picture_beside_a_log_stays(tmp_path, mark, program, files, resume):
    drawn, *_ = training_of_before(tmp_path, mark, program, files)
    with pytest.raises(OutputRefused, match="is not from afd train"):
        check_may_write([drawn], "afd train", overwrite=True, resume=resume)
