"""Summaries, tables and refusals, in a terminal and in a pipe."""

import time
from types import SimpleNamespace

from afdcli.cli import report
from afdcli.errors import WrongUse
from afdcli.options import ClassifyOptions
from afdcli.results.resuming import Anew


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


def test_a_table_has_a_cell_for_everything(capsys):
    report.table(("codec", "quality"), [("jpeg", 10), ("cl[b]ean\n", None)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["codec", "quality"]
    assert lines[2:] == [["jpeg", "10"], [r"cl[b]ean\n"]]


def a_classifier(method):
    return SimpleNamespace(engine="openvino", about=SimpleNamespace(backbone="some_backbone", method=method))


def test_a_summary_says_what_was_classified_and_what_was_done_anew(capsys):
    summary = report.ClassifySummary(ClassifyOptions(("photos",)), 3)
    row = {"path": "a.jpg", "status": "ok", "quality": 75, "label_1": "tabby, tabby cat", "prob_1": 0.5}
    summary.add(row)
    summary.add({**row, "path": "b.png", "quality": None, "prob_1": 0.25})
    summary.add({**row, "path": "c.jpg", "quality": 25, "status": "error"})
    summary.show(a_classifier("afd"), 1.5, Anew(frozenset({0}), 1, 2, 0))
    shown = capsys.readouterr().out
    assert "2 of 3 photos in 1.5 s" in shown
    assert "some_backbone, with a de-drifting module" in shown and "openvino" in shown
    assert "quality 25 to 75" in shown
    assert "(could not be read)" in shown
    assert "0.25" in shown
    assert "1 had failed, 2 were replaced since" in shown
    assert "tabby cat" not in shown


def test_a_summary_of_many_photos_shows_none_of_them(capsys):
    summary = report.ClassifySummary(ClassifyOptions(("photos",)), 1000)
    for number in range(1000):
        summary.add({"path": f"{number}.jpg", "status": "ok", "quality": None, "label_1": "tabby", "prob_1": 0.5})
    summary.show(a_classifier("none"), 10, Anew(frozenset(), 0, 0, 0))
    shown = capsys.readouterr().out
    assert "1,000 of 1,000 photos" in shown
    assert "some_backbone, no de-drifting module" in shown
    assert "anew" not in shown
    assert "tabby" not in shown


def test_what_gave_no_row_is_said(capsys):
    report.show_passed_over(SimpleNamespace(passed_over=0, repeated=0, other_files={}))
    assert capsys.readouterr().out == ""
    report.show_passed_over(SimpleNamespace(passed_over=1234, repeated=1, other_files={".tga": 2, "": 1649}))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "1,234 folders of the system's own, such as @eaDir, were passed over.",
        "1 link or name led to what had come before, and gave no second row.",
        "Passed over, as no images: 1,649 without an ending, 2 .tga.",
    ]


def test_a_pipe_is_told_what_is_being_waited_for(capsys, monkeypatch):
    monkeypatch.setattr(report, "AT_ONCE", 0.0)
    for compiled, expected in ((True, report.LOADING), (False, report.COMPILING)):
        monkeypatch.setattr("afdcli.engines.loading.is_compiled", lambda *_, answer=compiled: answer)
        with report.loading(ClassifyOptions(("photos",)), False):
            time.sleep(0.2)
        assert capsys.readouterr() == ("", expected + "\n")
        with report.loading(ClassifyOptions(("photos",)), True):
            time.sleep(0.1)
        assert capsys.readouterr() == ("", "")
