"""What is said in a terminal and in a pipe, and the exit codes."""

from types import SimpleNamespace

import pytest

from afdcli.cli import progress, report
from afdcli.errors import WrongUse
from afdcli.options import ClassifyOptions


def track(names_and_errors, quiet=False):
    with progress.Tracker(len(names_and_errors), "photos", quiet) as tracker:
        for name, error in names_and_errors:
            tracker.advance(name, error)
    return tracker


def test_a_name_is_shown_on_one_line_and_cannot_move_the_cursor():
    assert report.visible("a\nb\tc\rd\x1b[31m\x00.jpg") == r"a\nb\tc\rd\x1b[31m\x00.jpg"
    assert report.visible("Grüße 猫.jpg") == "Grüße 猫.jpg"
    assert report.visible("caf\udce9.jpg") == r"caf\xe9.jpg"


def test_characters_that_turn_the_text_round_are_not_passed_on():
    assert report.visible("\u202egpj.exe") == r"\u202egpj.exe"


def test_a_refusal_is_one_line_on_standard_error(capsys):
    report.refuse(WrongUse("There is no '[bold]' " + "long " * 60 + "path."))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "afd: There is no '[bold]' " + "long " * 60 + "path.\n"


def test_all_read_is_0_and_says_nothing(capsys):
    assert track([("a.jpg", None), ("b.jpg", None)]).conclude("Look there.") == 0
    assert capsys.readouterr() == ("", "")


def test_some_failed_is_1_and_names_them_on_standard_error(capsys):
    assert track([("a.jpg", "the file is empty"), ("b.jpg", None)]).conclude("Look there.") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "1 of 2 photos could not be used:" in shown.err
    assert "a.jpg  the file is empty" in shown.err
    assert "b.jpg" not in shown.err


def test_only_the_first_failures_are_named_and_the_others_counted(capsys):
    track([(f"{number}.jpg", "the file is empty") for number in range(1234)]).conclude("Look there.")
    shown = capsys.readouterr().err
    assert shown.count("the file is empty") == progress.FAILURES_SHOWN
    assert f"and {1234 - progress.FAILURES_SHOWN:,} more. Look there." in shown


def test_quiet_still_names_failures(capsys):
    assert track([("a.jpg", "the file is empty")], quiet=True).conclude("") == 1
    assert "a.jpg" in capsys.readouterr().err


def test_in_a_pipe_a_failure_stays_one_line(capsys):
    name, reason = "folder/" * 20 + "photo.jpg", "damaged image: " + "broken data stream " * 8
    track([(name, reason.strip())]).conclude("")
    assert f"{name}  {reason.strip()}" in [line.strip() for line in capsys.readouterr().err.splitlines()]


def test_in_a_pipe_there_are_no_escape_codes(capsys):
    track([("a\x1b[2J.jpg", "bad [red]reason[/red]")]).conclude("")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "bad [red]reason[/red]" in shown


def test_in_a_pipe_progress_is_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "PLAIN_SHARE", 0.0)
    track([("a.jpg", None), ("b.jpg", "empty"), ("c.jpg", None)])
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["1 of 3 photos", "2 of 3 photos", "3 of 3 photos"]
    assert "1 failed" in lines[1]
    assert "0 s left" in lines[2]


def test_quiet_shows_no_progress(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "PLAIN_SHARE", 0.0)
    track([("a.jpg", None)], quiet=True)
    assert capsys.readouterr() == ("", "")


def test_photos_of_an_earlier_run_do_not_count_for_the_rate(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "PLAIN_SHARE", 0.0)
    with progress.Tracker(3, "photos", False, already=2) as tracker:
        for _ in range(2):
            tracker.advance("a.jpg", None)
    assert capsys.readouterr().err.splitlines() == ["1 of 3 photos, 0.0 a second", "2 of 3 photos, 0.0 a second"]


def test_ctrl_c_ends_the_tracker_without_an_exception(capsys):
    with progress.Tracker(3, "photos", True) as tracker:
        tracker.advance("a.jpg", None)
        raise KeyboardInterrupt
    assert tracker.interrupted
    assert progress.stopped(tracker, "Go on with --resume.") == 130
    assert capsys.readouterr().err == "Stopped after 1 photos. Go on with --resume.\n"


def test_other_exceptions_pass_through():
    with pytest.raises(WrongUse), progress.Tracker(3, "photos", True):
        raise WrongUse("no")


def test_a_table_has_a_cell_for_everything(capsys):
    report.table(("codec", "quality"), [("jpeg", 10), ("cl[b]ean\n", None)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["codec", "quality"]
    assert lines[2:] == [["jpeg", "10"], [r"cl[b]ean\n"]]


def a_classifier(method):
    return SimpleNamespace(engine="openvino", about=SimpleNamespace(backbone="some_backbone", method=method))


def test_a_summary_takes_rows_of_an_earlier_run_whose_values_are_text(capsys):
    summary = report.ClassifySummary(ClassifyOptions(("photos",)), 3)
    row = {"path": "a.jpg", "status": "ok", "quality": 75, "label_1": "tabby, tabby cat", "prob_1": 0.5}
    summary.add(row)
    summary.add({**row, "path": "b.png", "quality": "", "prob_1": "0.25"})
    summary.add({**row, "path": "c.jpg", "quality": "25", "status": "error"})
    summary.show(a_classifier("afd"), 1.5)
    shown = capsys.readouterr().out
    assert "2 of 3 photos in 1.5 s" in shown
    assert "some_backbone, with a de-drifting module" in shown and "openvino" in shown
    assert "quality 25 to 75" in shown
    assert "(could not be read)" in shown
    assert "0.25" in shown
    assert "tabby cat" not in shown


def test_a_summary_of_many_photos_shows_none_of_them(capsys):
    summary = report.ClassifySummary(ClassifyOptions(("photos",)), 1000)
    for number in range(1000):
        summary.add({"path": f"{number}.jpg", "status": "ok", "quality": None, "label_1": "tabby", "prob_1": 0.5})
    summary.show(a_classifier("none"), 10)
    shown = capsys.readouterr().out
    assert "1,000 of 1,000 photos" in shown
    assert "some_backbone, no de-drifting module" in shown
    assert "tabby" not in shown
