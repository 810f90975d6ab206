"""Rows come back as written, from every kind of interruption, and nothing foreign is ever overwritten."""

import csv
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdcli.errors import OutputExists, OutputRefused
from afdcli.options import EvaluateOptions, ReadOptions
from afdcli.options.fields import fields_of
from afdcli.results.record import check_may_write, read_record, record, write_record
from afdcli.results.rowfile import ResultFile, files_of

COLUMNS = {"path": str, "count": int, "share": float, "good": bool}
ROWS = [
    {"path": "plain.jpg", "count": 1, "share": 0.25, "good": True},
    {"path": 'a "quoted", name.jpg', "count": -7, "share": 1e-6, "good": False},
    {"path": "two\nlines\n.jpg", "count": None, "share": None, "good": None},
    {"path": "\ttab, and a comma", "count": 3, "share": 0.1, "good": True},
    {"path": "Grüße 猫.jpg", "count": 2**40, "share": 1.0, "good": False},
    {"path": '"', "count": 0, "share": 0.0, "good": True},
]
CONTENT = record("afd test", {"quality": 10, "seed": 0})
ENDINGS = (".csv", ".jsonl", ".parquet")
NOBODY = 65534


def begin(path, resume=False, content=CONTENT, columns=COLUMNS, overwrite=False):
    return ResultFile(path, columns, content, resume=resume, overwrite=overwrite)


def finish(path, rows=ROWS, resume=False, overwrite=False):
    with begin(path, resume, overwrite=overwrite) as file:
        file.write(rows[file.rows :])
    return path.read_bytes()


def killed(path, rows):
    """What a process leaves that was killed after writing `rows`."""
    file = begin(path)
    file.write(rows)
    file.leave()


def read(path):
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()


def as_text(row):
    return {
        name: "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in row.items()
    }


def expected(path, rows=ROWS):
    return [as_text(row) for row in rows] if path.suffix == ".csv" else rows


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_are_what_other_programs_read(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    finish(path)
    assert read(path) == expected(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_are_kept_when_opened_again(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    finish(path)
    with begin(path, resume=True) as file:
        assert file.rows == len(ROWS)
        assert list(file.kept()) == ROWS


@pytest.mark.parametrize("name", ["a\rb.jpg", "\r", "a\r\nb", "a\n\r"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_carriage_return_in_a_name_is_kept(tmp_path, ending, name):
    path, rows = tmp_path / f"rows{ending}", [{"path": name, "count": 1}, {"path": "next", "count": 2}]
    for _ in range(2):
        with begin(path, resume=path.exists(), columns={"path": str, "count": int}) as file:
            file.write(rows[file.rows :])
            assert list(file.kept()) == rows
    assert read(path) == expected(path, rows)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=4)
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_any_name_is_kept(ending, names):
    rows = [{"path": name, "count": index} for index, name in enumerate(names)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"rows{ending}")
        columns = {"path": str, "count": int}
        with begin(path, columns=columns) as file:
            file.write(rows)
        with begin(path, resume=True, columns=columns) as file:
            assert list(file.kept()) == rows


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_wherever_a_file_was_cut_its_complete_rows_are_kept_and_it_ends_the_same(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    ends = []
    with begin(path) as file:
        ends.append(path.stat().st_size)
        for row in ROWS:
            file.write([row])
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        write_record(path, {**CONTENT, "complete": False})
        with begin(path, resume=True) as file:
            assert file.rows == max(sum(end <= size for end in ends) - 1, 0)
            assert list(file.kept()) == ROWS[: file.rows]
            file.write(ROWS[file.rows :])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_an_exception_leaves_a_valid_file_that_can_be_gone_on_with(tmp_path, ending, rows):
    path, whole = tmp_path / f"rows{ending}", finish(tmp_path / f"whole{ending}")
    with suppress(KeyboardInterrupt), begin(path) as file:
        file.write(ROWS[:rows])
        raise KeyboardInterrupt
    assert read(path) == expected(path, ROWS[:rows])
    assert read_record(path)["complete"] is False
    assert finish(path, resume=True) == whole
    assert sorted(one.name for one in tmp_path.glob("rows*")) == [path.name, f"{path.name}.json"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("torn", [0, 1])
def test_ctrl_c_while_rows_are_written_loses_none_that_is_complete(tmp_path, ending, torn):
    path = tmp_path / f"rows{ending}"

    class Interrupted:
        """A file that Ctrl-C reaches when it has written all, or all but the end of the last row."""

        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data[: len(data) - torn])
            raise KeyboardInterrupt

        def __getattr__(self, name):
            return getattr(self.file, name)

    with suppress(KeyboardInterrupt), begin(path) as file:
        file.write(ROWS[:2])
        file._journal._file = Interrupted(file._journal._file)
        file.write(ROWS[2:4])
    assert read(path) == expected(path, ROWS[: 4 - torn])


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_rows_of_a_killed_run_are_gone_on_with(tmp_path, ending):
    path, whole = tmp_path / f"rows{ending}", finish(tmp_path / f"whole{ending}")
    killed(path, ROWS[:4])
    with begin(path, resume=True) as file:
        assert file.rows == 4
        file.write(ROWS[4:])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_complete_file_is_begun_anew_only_if_told_and_resuming_it_changes_nothing(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    whole = finish(path)
    assert finish(path, resume=True) == whole
    with pytest.raises(OutputExists, match=r"finished result of afd test\. Add --overwrite .* --output"):
        finish(path, ROWS[:1])
    assert path.read_bytes() == whole
    finish(path, ROWS[:1], overwrite=True)
    assert read(path) == expected(path, ROWS[:1])


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_keep_cuts_the_file_after_that_many_rows(tmp_path, ending):
    path, whole = tmp_path / f"rows{ending}", finish(tmp_path / f"whole{ending}")
    with begin(path) as file:
        file.write(ROWS[:5])
        file.truncate(2)
        assert file.rows == 2
        assert read(path) == expected(path, ROWS[:2])
        file.write(ROWS[2:])
    assert path.read_bytes() == whole


def test_a_snapshot_does_not_change_when_the_file_is_cut_and_grows_again(tmp_path):
    with begin(tmp_path / "rows.csv") as file:
        file.write(ROWS)
        before = list(file.kept())
        reader = file.kept(tmp_path / "snapshot")
        next(reader)
        file.truncate(1)
        file.write(reversed(ROWS))
        assert list(reader) == before[1:]


def test_rows_are_in_the_file_when_write_returns(tmp_path):
    path = tmp_path / "rows.csv"
    with begin(path) as file:
        for count, row in enumerate(ROWS, 1):
            file.write([row])
            assert len(read(path)) == file.rows == count


def test_the_record_says_when_the_file_is_complete(tmp_path):
    path = tmp_path / "rows.csv"
    with begin(path):
        assert read_record(path)["complete"] is False
    assert read_record(path)["complete"] is True
    with begin(path, resume=True):
        assert read_record(path)["complete"] is False


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("complete", [False, True])
def test_other_settings_are_begun_anew_if_told(tmp_path, ending, complete):
    path = tmp_path / f"rows{ending}"
    with suppress(KeyboardInterrupt), begin(path) as file:
        file.write(ROWS[:3])
        if not complete:
            raise KeyboardInterrupt
    other = record("afd test", {"quality": 20, "seed": 0})
    with begin(path, resume=True, content=other, overwrite=True) as file:
        assert file.rows == 0
        file.write(ROWS[4:])
    assert read(path) == expected(path, ROWS[4:])


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_that_were_deleted_meanwhile_are_no_success(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    with pytest.raises(OutputRefused, match="deleted or replaced"), begin(path) as file:
        file.write(ROWS)
        (path.with_name(path.name + ".partial") if ending == ".parquet" else path).unlink()
    assert read_record(path)["complete"] is False


def test_rows_that_another_program_replaced_meanwhile_are_no_success(tmp_path):
    path = tmp_path / "rows.csv"
    with pytest.raises(OutputRefused, match="deleted or replaced"), begin(path) as file:
        file.write(ROWS)
        (tmp_path / "theirs").write_text("precious")
        (tmp_path / "theirs").replace(path)
    assert path.read_text() == "precious"


def test_the_record_has_what_makes_the_result_again(tmp_path):
    path = tmp_path / "rows.csv"
    finish(path)
    found = read_record(path)
    assert found["settings"] == {"quality": 10, "seed": 0}
    assert found["command"]
    assert {"python", "afd-dedrift", "pillow", "torch", "timm", "jpeg", "avif"} <= found["versions"].keys()


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("taken", ["rows.csv", "rows.csv.json"])
def test_a_foreign_file_is_refused_and_stays(tmp_path, taken, resume):
    (tmp_path / taken).write_text("precious")
    with pytest.raises(OutputRefused, match="is not from afd test"):
        begin(tmp_path / "rows.csv", resume)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [(taken, "precious")]


@pytest.mark.parametrize("content", ["[]", '{"program": "other"}', '{"program": "afd evaluate"}', '{"settings": {}}'])
def test_the_record_of_another_program_is_refused(tmp_path, content):
    path = tmp_path / "rows.csv"
    path.write_text("path\n")
    path.with_name("rows.csv.json").write_text(content)
    with pytest.raises(OutputRefused, match="is not from afd test"):
        begin(path)
    assert path.read_text() == "path\n"


def test_a_link_to_nowhere_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputRefused, match="exists"):
        begin(path)


def test_other_settings_are_refused_by_name(tmp_path):
    path = tmp_path / "rows.csv"
    whole = finish(path)
    with pytest.raises(OutputRefused, match="quality was 10, and is 20 now") as refusal:
        begin(path, resume=True, content=record("afd test", {"quality": 20, "seed": 0}))
    assert "seed" not in str(refusal.value)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("setting", [{"quality": 10}, {"quality": 10, "seed": 0, "size": 224}])
def test_settings_that_came_or_went_are_refused(tmp_path, setting):
    path = tmp_path / "rows.csv"
    finish(path)
    with pytest.raises(OutputRefused, match=r"seed was 0|size was None"):
        begin(path, resume=True, content=record("afd test", setting))


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_interrupted_file_is_not_begun_anew_without_being_told(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    with suppress(KeyboardInterrupt), begin(path) as file:
        file.write(ROWS[:3])
        raise KeyboardInterrupt
    before = path.read_bytes()
    with pytest.raises(OutputRefused, match=r"interrupted run\. Add --resume"):
        begin(path)
    assert path.read_bytes() == before


def test_a_header_changed_by_another_program_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    whole = finish(path)
    changed = whole.replace(b"path", b"Path", 1)
    path.write_bytes(changed)
    with pytest.raises(OutputRefused, match="changed by another program"):
        begin(path, resume=True)
    assert path.read_bytes() == changed


def test_a_refusal_leaves_the_record_as_it_was(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(finish(path).replace(b"path", b"Path", 1))
    with pytest.raises(OutputRefused):
        begin(path, resume=True)
    assert read_record(path)["complete"] is True


def test_old_rows_never_pass_for_rows_of_new_settings(tmp_path, monkeypatch):
    """A run that ends before it wrote anything must not leave its record beside the rows of an earlier one."""
    path = tmp_path / "rows.csv"
    finish(path)
    new = record("afd test", {"quality": 20, "seed": 0})

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_disk)
        with suppress(OutputRefused):
            begin(path, content=new, overwrite=True)
    with suppress(OutputRefused), begin(path, resume=True, content=new) as file:
        assert file.rows == 0


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("places", [[(0, 2)], [(2, 2), (5, 1)], [(0, 6)]])
def test_rows_that_take_the_place_of_others_end_in_the_file_that_has_them_from_the_first(tmp_path, ending, places):
    path, wanted = tmp_path / f"rows{ending}", [dict(row) for row in ROWS]
    finish(path)
    with begin(path, resume=True) as file:
        for first, count in places:
            new = [{**row, "path": row["path"] + " anew"} for row in ROWS[first : first + count]]
            wanted[first : first + count] = new
            file.replace(first, new)
        assert list(file.kept()) == ROWS
    assert path.read_bytes() == finish(tmp_path / f"whole{ending}", wanted)
    assert sorted(one.name for one in tmp_path.glob("rows*")) == [path.name, f"{path.name}.json"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_run_killed_before_rows_got_their_places_is_gone_on_with(tmp_path, ending):
    """Wherever the line was cut that holds them: all of them count, or none."""
    path, beside = tmp_path / f"rows{ending}", tmp_path / f"rows{ending}.changes"
    new = [{**row, "count": 12345} for row in ROWS[1:3]]
    old, changed = finish(path), finish(tmp_path / f"whole{ending}", [ROWS[0], *new, *ROWS[3:]])
    file = begin(path, resume=True)
    file.replace(1, new)
    file.leave()
    line = beside.read_bytes()
    for size in (0, 1, len(line) // 2, len(line) - 1, len(line)):
        path.write_bytes(old)
        beside.write_bytes(line[:size])
        assert finish(path, resume=True) == (changed if size == len(line) else old)
    beside.write_bytes(line)  # The file was rewritten, and then it was killed.
    assert finish(path, resume=True) == changed


def test_no_old_change_gets_into_a_file_that_is_begun_anew(tmp_path):
    path = tmp_path / "rows.csv"
    whole = finish(path)
    (tmp_path / "rows.csv.changes").write_text('[0, ["old\\n"]]\n')
    assert finish(path, overwrite=True) == whole


def test_a_disk_that_fills_up_while_rows_get_their_places_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    old = finish(path)
    with pytest.raises(OutputRefused, match="No space left"), begin(path, resume=True) as file:
        file.replace(0, [{**ROWS[0], "count": 5}])
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert path.read_bytes() == old
    monkeypatch.undo()
    assert finish(path, resume=True) == finish(tmp_path / "whole.csv", [{**ROWS[0], "count": 5}, *ROWS[1:]])


@pytest.mark.parametrize("damage", [(b"0.25", b"a lot"), (b"true", b"true,more"), (b"plain.jpg,1", b"plain.jpg;1")])
def test_rows_changed_by_another_program_are_refused(tmp_path, damage):
    path = tmp_path / "rows.csv"
    path.write_bytes(finish(path).replace(*damage, 1))
    with pytest.raises(OutputRefused, match="changed by another program"), begin(path, resume=True) as file:
        list(file.kept())


@pytest.mark.parametrize("beside", ["rows.csv.stamps", "rows.csv.changes"])
def test_a_foreign_file_where_one_of_ours_would_lie_is_refused_and_stays(tmp_path, beside):
    (tmp_path / beside).write_text("precious")
    with pytest.raises(OutputRefused, match="is not from afd test"):
        begin(tmp_path / "rows.csv")
    assert (tmp_path / beside).read_text() == "precious"


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputRefused, match="There is no folder"):
        begin(tmp_path / "missing" / "rows.csv")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "rows.csv").mkdir()
    with pytest.raises(OutputRefused, match="exists"):
        begin(tmp_path / "rows.csv")


@pytest.fixture
def as_nobody():
    """Root may write everywhere, so for a while it is somebody else."""
    if not hasattr(os, "setresuid"):
        pytest.skip("no way here to give up permissions for a while")
    was = os.getresuid()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        if was[1] == 0:
            os.setresuid(NOBODY, NOBODY, 0)
        try:
            yield Path(folder)
        finally:
            os.setresuid(*was)


def test_an_unwritable_folder_is_refused(as_nobody):
    if os.geteuid() != NOBODY:
        as_nobody.chmod(0o555)
    with pytest.raises(OutputRefused, match="cannot be written: no permission"):
        begin(as_nobody / "rows.csv")
    with pytest.raises(OutputRefused, match="cannot be written: no permission"):
        check_may_write(files_of(as_nobody / "rows.csv"), "afd test", overwrite=False)


def test_a_folder_that_cannot_even_be_entered_is_refused(as_nobody):
    if os.geteuid() != NOBODY:
        pytest.skip("needs root, to make a folder of somebody else's")
    os.seteuid(0)
    (as_nobody / "private" / "inner").mkdir(parents=True)
    (as_nobody / "private").chmod(0o700)
    os.seteuid(NOBODY)
    with pytest.raises(OutputRefused):
        begin(as_nobody / "private" / "inner" / "rows.csv")


def test_a_disk_that_fills_up_is_reported_and_what_it_holds_is_right(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "rows.csv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OutputRefused, match=r"cannot be written: .*--resume"), begin(path) as file:
            file.write(ROWS[:2])
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limits[1]))
            file.write(ROWS[2:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with begin(path, resume=True) as file:
        assert file.rows == 2
    assert read(path) == expected(path, ROWS[:2])


def test_a_record_has_every_option_by_its_own_name():
    asked = EvaluateOptions("photos", levels="webp:50,20", read=ReadOptions(exif="ignore"))
    found = record("afd test", {}, asked)["options"]
    assert set(found) == {field.name for field in fields_of(EvaluateOptions)}
    assert (found["exif"], found["degraded"], found["output"]) == ("ignore", None, "accuracy.csv")
    level = {"codec": "webp", "quality": 20, "subsampling": "4:2:0", "settings": [], "tables": None}
    assert found["levels"][1] == level
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("harm", [b"", b"edited", b"PAR1"])
def test_a_parquet_file_that_is_none_any_more_is_refused(tmp_path, harm):
    pytest.importorskip("pyarrow")
    path = tmp_path / "p.parquet"
    with ResultFile(path, {"path": str}, record("afd test", {}), resume=True) as file:
        file.write([{"path": "a"}])
    path.write_bytes(path.read_bytes() + harm if harm == b"edited" else harm)
    left = path.read_bytes()
    with pytest.raises(OutputRefused, match="changed by another program"):
        ResultFile(path, {"path": str}, record("afd test", {}), resume=True)
    assert path.read_bytes() == left
