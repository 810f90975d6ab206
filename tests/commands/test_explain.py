from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from afdcli.commands.explain import drift_statistics, explain
from afdcli.errors import OutputRefused, UnreadableImage, WrongUse
from afdcli.methods.afd import AFDModule
from afdcli.methods.distances import feature_angle
from afdcli.models.checkpoint import load_checkpoint, save_checkpoint
from afdcli.options import Compression, ExplainOptions, ModelOptions
from afdcli.photos import damage
from afdcli.results import figures

torch.set_num_threads(1)


@pytest.fixture
def options(tmp_path, dedrifted):
    """Two photos, a tiny random network, and a random module for it."""
    network, module = dedrifted
    (tmp_path / "photos").mkdir()
    for number in range(2):
        coarse = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((240, 180)).save(tmp_path / "photos" / f"{number}.png")
    return ExplainOptions(
        tmp_path / "photos" / "0.png",
        tmp_path / "explanation.png",
        weights=str(module),
        model=ModelOptions("test_resnet", network, "cpu"),
    )


def test_angles_by_hand():
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(1, 2, 1, 2)  # (1, 0) and (0, 2)
    target = torch.tensor([[3.0, 1.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # (3, 0) and (1, 1)
    torch.testing.assert_close(feature_angle(features, target), torch.tensor([[[0.0, 45.0]]]))


@pytest.mark.slow
def test_a_compressed_photo_is_explained_beside_the_original(options):
    found = explain(replace(options, compression=Compression("jpeg", 5)))
    assert found.photo.shape == found.compressed.shape == (160, 160, 3)
    assert (found.photo != found.compressed).any()
    assert found.before.shape == found.after.shape == found.drift.shape
    assert 0 < found.before.mean() < 90 and found.drift.min() > 0 and found.drift.max() < 1
    assert list(found.tops) == ["photo", "JPEG quality 5", "JPEG quality 5, de-drifted"]
    assert all(np.diff([probability for _, probability in top]).max() <= 0 for top in found.tops.values())
    figures.explanation(found, options.output)
    assert Image.open(options.output).size == (1500, 650)


@pytest.mark.slow
def test_an_estimate_in_degrees_is_drawn_with_its_correlation_to_the_truth(options, tmp_path):
    checkpoint = load_checkpoint(Path(options.weights))
    torch.manual_seed(0)
    module = AFDModule(replace(checkpoint.module.config, estimator="angle"))
    save_checkpoint(replace(checkpoint, module=module), tmp_path / "angle.safetensors")
    options = replace(options, weights=str(tmp_path / "angle.safetensors"), overwrite=True)
    for compression in (Compression("jpeg", 5), None):
        found = explain(replace(options, compression=compression))
        assert found.in_degrees and 1 < found.drift.mean() < 120
        options.output.unlink(missing_ok=True)
        figures.explanation(found, options.output)
        assert Image.open(options.output).size == (1500, 650)
    title = figures._drift_title(replace(found, drift=np.arange(4.0).reshape(2, 2), before=np.array([[0, 2], [4, 6]])))
    assert title == "estimated angle, 2°, correlation 1.00"
    assert figures._drift_title(replace(found, drift=np.ones((2, 2)))) == "estimated angle, 1°"


@pytest.mark.slow
def test_a_photo_is_explained_as_it_is(options):
    found = explain(options)
    assert (found.compressed, found.before, found.after) == (None, None, None)
    assert list(found.tops) == ["photo", "photo, de-drifted"]
    figures.explanation(found, options.output)
    assert options.output.exists()


@pytest.mark.slow
def test_what_cannot_be_explained_is_refused(options, tmp_path):
    with pytest.raises(WrongUse, match="no de-drifting module for test_resnet"):
        explain(replace(options, weights="none"))
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UnreadableImage, match=r"empty\.jpg' cannot be read: "):
        explain(replace(options, photo=tmp_path / "empty.jpg"))


@pytest.mark.slow
def test_neither_the_photo_nor_any_other_file_is_replaced(options, tmp_path):
    photo, link = Path(options.photo), tmp_path / "link.png"
    (tmp_path / "other.png").write_bytes(photo.read_bytes())
    link.symlink_to(photo)
    (tmp_path / "hard.png").hardlink_to(photo)
    before = photo.read_bytes()
    for place in (photo, link, tmp_path / "hard.png", tmp_path / "other.png", tmp_path / "photos" / "1.png"):
        for overwrite in (False, True):
            with pytest.raises(OutputRefused):
                explain(replace(options, output=place, overwrite=overwrite))
            with pytest.raises(OutputRefused):
                list(drift_statistics(replace(options, output=place, overwrite=overwrite, statistics=True), ()))
    assert photo.read_bytes() == (tmp_path / "other.png").read_bytes() == before
    figures.explanation(explain(options), options.output)
    with pytest.raises(OutputRefused, match="is read by this command"):  # though it is a picture of this command's
        explain(replace(options, photo=options.output, overwrite=True))


@pytest.mark.slow
def test_statistics_have_a_point_for_each_photo_and_level(options, tmp_path):
    (tmp_path / "photos" / "empty.jpg").touch()
    levels = (Compression("jpeg", 90), Compression("jpeg", 5))
    points = list(drift_statistics(replace(options, photo=tmp_path / "photos"), levels))
    assert [point["quality"] for point in points] == [90, 5, 90, 5]
    for angle in ("dct_angle", "feature_angle"):
        assert points[0][angle] < points[1][angle] and points[2][angle] < points[3][angle]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "empty.jpg").touch()
    with pytest.raises(WrongUse, match=r"Not one photo of .*bad' can be read"):
        list(drift_statistics(replace(options, photo=tmp_path / "bad"), levels))
    figures.drift_statistics(points, options.output)
    assert Image.open(options.output).size == (900, 750)


@pytest.mark.slow
@pytest.mark.parametrize("function", ["encode", "decode"])
def test_a_codec_that_fails_is_a_refusal_or_a_photo_less(options, tmp_path, monkeypatch, function):
    def failing(*_):
        raise UnreadableImage("the codec has failed")

    monkeypatch.setattr(damage, function, failing)
    with pytest.raises(UnreadableImage, match=r"0\.png' cannot be compressed: the codec has failed"):
        explain(replace(options, compression=Compression("avif", 20)))
    levels = (Compression("jpeg", 90),)
    with pytest.raises(WrongUse, match="Not one photo of"):
        list(drift_statistics(replace(options, photo=tmp_path / "photos"), levels))
