"""Pages in a real browser, where there is one."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens the text of a page, and fails on whatever goes wrong in it."""
    faults = []

    def opened(text):
        (tmp_path / "index.html").write_text(text, encoding="utf-8")
        tab = browser.new_page(viewport={"width": 1000, "height": 700})
        tab.on("pageerror", lambda fault: faults.append(str(fault)))
        tab.on("console", lambda line: faults.append(line.text))
        tab.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or faults.append(asked.url))
        tab.goto((tmp_path / "index.html").as_uri())
        return tab

    yield opened
    assert not faults
