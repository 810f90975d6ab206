"""How far a run is, what failed in it, and the exit codes, in a terminal and in a pipe."""

import pytest

from afdcli.cli import progress
from afdcli.errors import WrongUse


def track(names_and_errors, quiet=False):
    with progress.Tracker(len(names_and_errors), "photos", quiet) as tracker:
        for name, error in names_and_errors:
            tracker.advance(name, error)
    return tracker


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


def test_rate_and_time_left_settle(monkeypatch):
    """Processes start for 10 s, then come 16 photos at once, every 2 s."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Tracker(1600, "photos", True) as tracker:
        now[0], rates = 10.0, []
        for _ in range(50):
            for _ in range(16):
                tracker.advance("a.jpg", None)
                now[0] += 0.001
            rates.append(tracker.rate())
            now[0] += 2 - 0.016
    assert rates[1:] == pytest.approx([8.0] * 49, rel=0.02)


def test_a_time_left_is_no_more_exact_than_it_can_be():
    assert [progress.in_words(seconds) for seconds in (0, 59.4, 60, 3540, 12_300)] == [
        *("0 s", "59 s", "1 min", "59 min"),
        "3 h 20 min",
    ]


def test_what_takes_long_is_named(capsys):
    from afdcli.photos.damage import Case
    from afdcli.photos.source import Source

    with progress.Tracker(3, "photos", False):
        for item in (Source("/x/a.jpg", "a\n.jpg"), Case(Source("/x/b.jpg", "b.jpg")), (3, "/x/c.jpg")):
            progress.watching.tell(item)
    assert progress.watching.tell is None
    assert capsys.readouterr().err.splitlines() == [
        f"Still at {n}, after 5 s." for n in (r"a\n.jpg", "b.jpg", "/x/c.jpg")
    ]


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
