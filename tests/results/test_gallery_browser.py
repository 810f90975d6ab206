"""The page in a real browser, where there is one: what is found, sorted, chosen, shown large, and never run."""

import pytest

from afdcli.results.gallery import Shown, page

pytestmark = pytest.mark.slow
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
HOSTILE = '<img src=x onerror="document.title=1">.jpg'


def photo(name, label, prob, quality=None, drift=None):
    row = {
        "path": name,
        "status": "ok",
        "format": "JPEG",
        "width": 40,
        "height": 30,
        "quality": quality,
        "drift": drift,
    }
    return Shown(row | {"label_1": label, "index_1": 1, "prob_1": prob}, None, "", PIXEL, PIXEL)


def names(tab):
    cards = tab.eval_on_selector_all(
        ".card", "all => all.map(one => [+one.dataset.place, one.children[3].textContent])"
    )
    return [name for _, name in sorted(cards)]


FEW = [
    photo("a.jpg", "cat", 0.9, 90, 1.0),
    photo(HOSTILE, HOSTILE, 0.5, 10, 40.0),
    photo("sub/c.png", "cat", 0.7),
    Shown({"path": "d.jpg", "status": "error", "error": "cut off", "label_1": None}),
]


def test_photos_are_filtered_sorted_and_found(opened):
    tab = opened(page("rows.csv", FEW))
    assert names(tab) == ["a.jpg", HOSTILE, "sub/c.png"]
    tab.fill("#name", "SUB")
    assert names(tab) == ["sub/c.png"]
    tab.click("text=Show all")
    tab.wait_for_function("document.querySelectorAll('.card').length == 3")
    tab.fill("#prob-most", "0.75")
    assert names(tab) == [HOSTILE, "sub/c.png"]
    tab.fill("#prob-most", "")
    tab.fill("#quality-least", "50")
    assert names(tab) == ["a.jpg"], "what has no quality is at none"
    tab.fill("#quality-least", "")
    tab.fill("#drift-least", "30")
    assert names(tab) == [HOSTILE]
    tab.fill("#drift-least", "")
    tab.select_option("#label", "cat")
    assert names(tab) == ["a.jpg", "sub/c.png"]
    tab.select_option("#label", "")
    tab.select_option("#order", "prob")
    assert names(tab) == [HOSTILE, "sub/c.png", "a.jpg"]
    tab.select_option("#order", "quality")
    assert names(tab) == [HOSTILE, "a.jpg", "sub/c.png"]
    assert "3 photos" in tab.inner_text("#count")
    tab.click("#show-errors")
    assert "cut off" in tab.inner_text("#errors") and not tab.is_visible("#grid")
    assert tab.title() == "rows.csv", "no name was run"


def test_the_keyboard_does_it_all(opened):
    tab = opened(page("rows.csv", FEW))
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    assert HOSTILE in tab.inner_text("dialog") and "50.0 %" in tab.inner_text("dialog")
    tab.keyboard.press("ArrowRight")
    assert "sub/c.png" in tab.inner_text("dialog")
    tab.keyboard.press("Escape")
    assert not tab.is_visible("dialog")
    tab.keyboard.press("Space")
    assert "1 selected" in tab.inner_text("#selection")
    tab.keyboard.press("Home")
    tab.keyboard.press("x")
    with tab.expect_download() as download:
        tab.click("#save-csv")
    saved = download.value.path().read_text(encoding="utf-8")
    assert saved == "path,label_1,prob_1\na.jpg,cat,0.9\nsub/c.png,cat,0.7\n"
    tab.keyboard.press("Escape")
    tab.click("#grid", position={"x": 5, "y": 5})
    tab.keyboard.press("/")
    tab.keyboard.type("sub")
    assert names(tab) == ["sub/c.png"]


def test_of_20000_photos_only_those_in_sight_are_there(opened):
    many = [photo(f"{number:05}.jpg", f"class {number % 40}", number / 20_000) for number in range(20_000)]
    tab = opened(page("rows.csv", many))
    assert len(names(tab)) < 100
    tab.keyboard.press("End")
    tab.wait_for_function("document.querySelector('#grid').scrollTop > 100000")
    tab.wait_for_timeout(100)
    assert names(tab)[-1] == "19999.jpg" and len(names(tab)) < 100
    tab.select_option("#order", "-prob")
    assert names(tab)[0] == "19999.jpg"
    tab.fill("#name", "0777")
    assert names(tab) == ["10777.jpg", "07779.jpg", "07778.jpg"] + [f"0777{n}.jpg" for n in range(7, -1, -1)] + [
        "00777.jpg"
    ]
