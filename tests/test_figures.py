import numpy as np
from PIL import Image

from afdcli.figures import training_curves
from afdcli.training import LOG_COLUMNS

HEAD = ",".join(LOG_COLUMNS) + "\n"


def test_training_curves_show_what_the_log_holds(tmp_path):
    log, picture = tmp_path / "log.csv", tmp_path / "log.png"
    falling = [f"{step},{2 / step},{1 / step},0.5,0.1" + "," * 6 + "\n" for step in range(1, 201)]
    falling[-1] = "200,0.01,0.005,0.5,0.1,70.5,60.5,99.0,10.5,12.5,0.25\n"
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
