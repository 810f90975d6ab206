"""How fast a gallery of many photos opens and scrolls, in a real Chromium without a screen.

    python benchmarks/gallery.py --photos 20000

Prints the seconds until the first cards are shown, the frames a second while it scrolls from the top to the end, and
the longest frame. Each photo has a small picture of its own.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from afdcli.results.gallery import Shown, page

SCROLL = """seconds => new Promise(done => {
  const grid = document.getElementById("grid"), end = grid.scrollHeight - grid.clientHeight;
  const begun = performance.now(), frames = [];
  let last = begun;
  requestAnimationFrame(function step(now) {
    frames.push(now - last);
    last = now;
    const share = (now - begun) / (1000 * seconds);
    grid.scrollTop = share * end;
    share < 1 ? requestAnimationFrame(step) : done(frames.slice(1));
  });
})"""


def main() -> None:
    """Make the page, open it and scroll."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=20_000, help="how many photos the page has")
    parser.add_argument("--seconds", type=float, default=10, help="how long it scrolls")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="the Chromium to start")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.photos)
        measure(Path(folder) / "index.html", arguments.browser, arguments.seconds)


def make(folder: Path, count: int) -> None:
    """A page of `count` photos, with a WebP file for each."""
    (folder / "thumbs").mkdir()
    draw, shown = np.random.default_rng(0), []
    pictures = []
    for number in range(50):
        small = Image.fromarray(draw.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((300, 225))
        small.save(folder / f"{number}.webp", quality=72)
        pictures.append((folder / f"{number}.webp").read_bytes())
    for number in range(count):
        name = f"thumbs/{number:06}.webp"
        (folder / name).write_bytes(pictures[number % 50])
        row = {"path": f"album {number // 500}/{number:06}.jpg", "status": "ok", "format": "JPEG", "width": 4000}
        row |= {"height": 3000, "quality": 10 + number % 90, "drift": number % 47 + 0.5}
        for rank in range(1, 6):
            row |= {f"label_{rank}": f"class {number * rank % 1000}", f"index_{rank}": 1, f"prob_{rank}": 0.5 / rank}
        shown.append(Shown(row, None, "", name, name))
    (folder / "index.html").write_text(page("rows.csv", shown), encoding="utf-8")


def measure(path: Path, browser: str, seconds: float) -> None:
    """Open the page and scroll through it once."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        tab = started.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        begun = time.perf_counter()
        tab.goto(path.as_uri(), wait_until="commit")
        tab.wait_for_selector(".card")
        print(f"shown after         {time.perf_counter() - begun:6.2f} s")
        tab.wait_for_load_state()
        frames = tab.evaluate(SCROLL, seconds)
        print(f"frames a second     {1000 * len(frames) / sum(frames):6.1f}")
        print(f"longest frame       {max(frames):6.0f} ms")


if __name__ == "__main__":
    main()
