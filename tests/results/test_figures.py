import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from afdcli.commands.train import LOG_COLUMNS
from afdcli.results import figures
from afdcli.results.figures import Explanation, accuracy_curves, training_curves

HEAD = ",".join(LOG_COLUMNS) + "\n"


@pytest.mark.slow
def test_training_curves_show_what_the_log_holds(tmp_path):
    log, picture = tmp_path / "log.csv", tmp_path / "log.png"
    falling = [f"{step},{2 / step},{1 / step},0.5,0.1,0.3,,0.2" + "," * 7 + "\n" for step in range(1, 201)]
    falling[-1] = "200,0.01,0.005,0.5,0.1,0.3,,0.2,70.5,60.5,99.0,10.5,12.5,0.25,0.5\n"
    log.write_text(HEAD + "".join(falling))
    training_curves(log, picture)
    before = np.asarray(Image.open(picture).convert("RGB"))
    assert before.shape == (600, 1500, 3)
    log.write_text(HEAD + "".join(falling).replace("70.5", "95.0"))
    training_curves(log, picture)
    changed = (np.asarray(Image.open(picture).convert("RGB")) != before).any(axis=(0, 2))
    assert changed[750:].any() and not changed[:750].any(), "agreement is on the right"


def test_an_empty_log_gives_no_picture(tmp_path):
    (tmp_path / "log.csv").write_text(HEAD)
    training_curves(tmp_path / "log.csv", tmp_path / "log.png")
    assert not (tmp_path / "log.png").exists()


@pytest.mark.slow
def test_accuracy_curves_have_a_panel_for_each_codec_and_number_of_passes(tmp_path):
    def rows(top1):
        row = {"backbone": "net", "weights": "none", "top1_low": 40.0, "top1_high": 95.0, "agreement": 50.0}
        yield {**row, "codec": "clean", "quality": None, "passes": 0, "top1": top1 and 90.0}
        for codec, passes in (("jpeg", 1), ("jpeg", 2), ("avif", 1)):
            for quality in (25, 10):
                yield {**row, "codec": codec, "quality": quality, "passes": passes, "top1": top1}

    accuracy_curves(list(rows(60.0)), tmp_path / "labelled.png")
    accuracy_curves(list(rows(None)), tmp_path / "plain.png")
    labelled, plain = (np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")) for name in ("labelled", "plain"))
    assert labelled.shape == plain.shape == (600, 1950)
    assert (labelled != plain).any()
    accuracy_curves(list(rows(60.0))[:1], tmp_path / "undamaged.png")
    assert Image.open(tmp_path / "undamaged.png").size == (750, 600)


HOSTILE = ["lr$1e_{-3$", "_hidden", "a|b", "^", "\\frac", "new\nline", "`x`", "<b>*", "\x1b[31m", "caf\udce9"]


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_picture_or_is_left_out_of_it(name, tmp_path, monkeypatch):
    legends = []
    monkeypatch.setattr(Axes, "legend", lambda axes, **_: legends.append(axes.get_legend_handles_labels()[1]))
    row = {
        "backbone": "net",
        "weights": name,
        "codec": "clean",
        "quality": None,
        "passes": 0,
        "top1": None,
        "agreement": 50.0,
    }
    rows = [row, {**row, "codec": "jpeg", "quality": 10, "passes": 1}]
    accuracy_curves(rows, tmp_path / "curves.png")
    assert len(legends[0]) == 1
    image = np.zeros((8, 8, 3), np.uint8)
    tops = {key: [(name, 0.7), (f"${name}", 0.2)] for key in ("photo", "photo, de-drifted")}
    explained = Explanation("photo", image, None, np.full((4, 4), 0.5), False, None, None, tops)
    figures.explanation(explained, tmp_path / "explained.png")
    assert (tmp_path / "curves.png").exists() and (tmp_path / "explained.png").exists()


@pytest.mark.slow
def test_curves_over_bytes_have_a_colour_a_codec_and_a_line_for_each_of_the_weights(tmp_path, monkeypatch):
    drawn, legends = [], []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, *args, **how: drawn.append(how) or plot(axes, *args, **how))
    monkeypatch.setattr(Axes, "legend", lambda axes, **_: legends.append(axes.get_legend_handles_labels()[1]))
    row = {"backbone": "net", "images": 10, "passes": 1, "top1_low": 40.0, "top1_high": 95.0, "agreement": 50.0}
    for top1 in (60.0, None):
        rows = []
        for weights in ("none", "auto"):
            rows.append(
                {**row, "weights": weights, "codec": "clean", "quality": None, "kilobytes": 100.0, "top1": top1}
            )
            for codec in ("jpeg", "avif"):
                sizes = ((10, 5.0), (50, 20.0))
                levels = [{"codec": codec, "quality": quality, "kilobytes": size} for quality, size in sizes]
                rows += [{**row, **level, "weights": weights, "top1": top1} for level in levels]
        figures.rate_curves(rows, tmp_path / "rate.png")
    lines = [(how["color"], how["ls"]) for how in drawn if how.get("ms") == 4]
    assert lines[:4] == [("C0", "--"), ("C0", "-"), ("C1", "--"), ("C1", "-")]
    assert legends[0] == ["JPEG", "AVIF", "without a module", "with the module", "95 % interval"]
    assert legends[1] == legends[0][:-1]
    assert Image.open(tmp_path / "rate.png").size == (1350, 900)
