"""The page of a comparison in a real browser, where there is one: values on hover, sorting, photos that flip."""

import pytest
from webpages import outcomes

from afdcli.options import ReadOptions
from afdcli.results import accuracy_page
from afdcli.results.accuracy_page import Pictures, page

pytestmark = pytest.mark.slow
PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
HOSTILE = '<img src=x onerror="document.title=1">'
CAT, DOG, OWL = 0, 1, 2
NAMES = {CAT: f"cat {HOSTILE}, house cat", DOG: "dog", OWL: "owl"}
PATHS = [f"{HOSTILE}.jpg", "dog.jpg", "__proto__", "cat 3.jpg"]
SEEN = [
    [[CAT, DOG, OWL], [CAT, CAT, OWL]],  # lost at both levels, won back at one
    [[DOG, DOG, DOG], [DOG, DOG, OWL]],  # lost by the module alone
    [[CAT, CAT, DOG], [CAT, CAT, CAT]],  # lost at one level, and won back there
    [[CAT, CAT, CAT], [CAT, CAT, CAT]],  # stays
]


@pytest.fixture
def text(monkeypatch):
    """The page of four photos, the first of which has a picture."""
    monkeypatch.setattr(Pictures, "of", lambda self, sizes: {PATHS[0]: PICTURE})
    measured = outcomes(SEEN, [CAT, DOG, CAT, CAT], names=NAMES, paths=PATHS)
    return page(f"accuracy {HOSTILE}", measured.rows(), [measured], Pictures(lambda names: {}, ReadOptions(), 0))


def column(tab, table, place):
    return tab.eval_on_selector_all(
        f"#{table} tbody tr:not(.flips)", f"all => all.map(one => one.cells[{place}].innerText)"
    )


def test_a_curve_tells_its_values_on_hover_and_by_keyboard(opened, text):
    tab = opened(text)
    assert not tab.is_visible("#tip")
    tab.hover(".column >> nth=2")
    told = tab.inner_text("#tip").splitlines()
    assert told[0] == "JPEG 10, 1.00 kB a file"
    assert told[1].startswith("without a module: 50.0 % (15.0 to 85.0)")  # Wilson's, of 2 of 4
    assert told[2].startswith("with the module: 50.0 %") and told[2].endswith("0.0 points")
    tab.mouse.move(5, 5)
    assert not tab.is_visible("#tip")
    tab.focus(".column >> nth=1")
    assert tab.inner_text("#tip").splitlines()[2].startswith("with the module: 100.0 %")
    tab.click("#by-size")
    assert tab.get_attribute("#by-size", "aria-pressed") == "true" and "kilobytes" in tab.inner_text("#curves")


def test_it_says_in_short_what_it_comes_to(opened, text):
    shown = opened(text).inner_text("#summary")
    assert "100.0 %" in shown and "62.5 %" in shown and "75.0 %" in shown
    assert (
        "the mean of 2 levels: \u221237.5 points" in shown and "+12.5 points won back, 33.3 % of what is lost" in shown
    )


def test_both_tables_are_sorted_by_a_click_on_a_head(opened, text):
    tab = opened(text)
    assert column(tab, "levels", 0) == ["undamaged", "JPEG 20", "JPEG 10"] * 2
    tab.click("#levels th >> text=Top-1")
    values = [float(one.split()[0].rstrip("*")) for one in column(tab, "levels", 2)]
    assert values == sorted(values, reverse=True) and values[0] == 100
    tab.click("#levels th >> text=Top-1")
    values = [float(one.split()[0].rstrip("*")) for one in column(tab, "levels", 2)]
    assert values == sorted(values) and tab.get_attribute("#levels th[aria-sort]", "aria-sort") == "ascending"
    tab.click("#levels th >> text=Difference")
    assert column(tab, "levels", 4)[-3:] == [""] * 3, "what has no value comes last"
    assert [one.split()[0] for one in column(tab, "classes", 0)] == ["cat", "dog"]
    tab.click("#classes th >> text=Undamaged")
    tab.click("#classes th >> text=Class")
    assert [one.split()[0] for one in column(tab, "classes", 0)] == ["cat", "dog"]
    tab.click("#classes th >> text=Class")
    assert [one.split()[0] for one in column(tab, "classes", 0)] == ["dog", "cat"]
    tab.fill("#find", "DOG")
    assert column(tab, "classes", 0) == ["dog"]


def test_a_class_opens_to_its_photos_that_flip(opened, text):
    tab = opened(text)
    assert "Without a module, 2 of 3 photos flip" in tab.inner_text(".flips")  # The first class is open.
    assert "With the module, 2 of these are right" in tab.inner_text(".flips")
    first, second = tab.query_selector_all(".card")
    assert first.query_selector("img").get_attribute("src") == PICTURE
    assert "not there any more" in second.inner_text()
    assert f"cat {HOSTILE} → dog at JPEG 20" in first.inner_text() and f"{HOSTILE}.jpg" in first.inner_text()
    assert "won back at 1 of 2" in first.inner_text() and "won back at 1 of 1" in second.inner_text()
    strips = first.eval_on_selector_all(
        ".strip", "all => all.map(one => [...one.querySelectorAll('i')].map(i => i.className))"
    )
    assert strips == [["", "wrong", "wrong"], ["", "", "wrong"]]
    first.query_selector(".strip i:nth-of-type(3)").hover()
    assert tab.inner_text("#tip").splitlines() == ["JPEG 10", "without a module: owl, 50 %"]
    tab.click(".opens >> nth=0")
    assert not tab.query_selector(".flips")
    tab.focus(".opens >> nth=1")
    tab.keyboard.press("Enter")
    assert "lost only with the module" in tab.inner_text(".flips") and "dog → owl" in tab.inner_text(".flips")
    assert tab.title() == f"accuracy {HOSTILE}", "no name was run"
    assert tab.eval_on_selector_all("img", "all => all.length") == 0


def test_what_is_not_shown_is_said(opened, monkeypatch):
    monkeypatch.setattr(accuracy_page, "WITH_PHOTOS", 1)
    monkeypatch.setattr(accuracy_page, "PHOTOS", 2)
    monkeypatch.setattr(accuracy_page, "LISTED", 24)
    seen = [[[CAT, 30, 30]]] * 5 + [[[index, 30, 30]] for index in range(1, 30)]
    measured = outcomes(seen, [one[0][0] for one in seen], weights=("none",))
    tab = opened(page("a", measured.rows(), [measured], Pictures(lambda names: {}, ReadOptions(), 0)))
    assert len(column(tab, "classes", 0)) == 20
    assert "3 more photos that flip are not shown" in tab.inner_text(".flips")
    assert (
        tab.inner_text("#more") == "6 more are not listed. Photos are shown of the 1 worst-hit class, not of 23 others."
    )
    tab.click("text=Show all 24")
    assert len(column(tab, "classes", 0)) == 24 and not tab.is_visible("#all-classes")


def test_backbones_are_shown_in_turn_and_without_labels_it_is_agreement(opened):
    labelled, plain = outcomes(SEEN, [CAT, DOG, CAT, CAT]), outcomes(SEEN[:2])
    plain.run.__dict__["backbone"] = "other"
    rows = [row for one in (labelled, plain) for row in one.rows()]
    tab = opened(page("a", rows, [labelled, plain], Pictures(lambda names: {}, ReadOptions(), 0)))
    assert "tiny, 4 photos" in tab.inner_text("#about") and "Undamaged" in tab.inner_text("#summary")
    tab.click("text=other")
    assert "other, 2 photos" in tab.inner_text("#about") and "agreement" in tab.inner_text("#about")
    assert "Undamaged" not in tab.inner_text("#summary") and "Top-1" not in tab.inner_text("#levels")


def test_without_damage_there_is_the_table_alone(opened):
    measured = outcomes([[[CAT]], [[DOG]]], [CAT, OWL], weights=("none",), qualities=())
    tab = opened(page("a", measured.rows(), [measured], Pictures(lambda names: {}, ReadOptions(), 0)))
    assert not tab.is_visible("#worst") and column(tab, "levels", 0) == ["undamaged"]
