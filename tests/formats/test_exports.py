"""Each kind of file gives what the network gives, for any number of images, and tells what it is told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from afdcli.formats import exports

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


class Halved(nn.Module):
    """The mean of each channel, and half of that of the image."""

    def forward(self, pixels):
        means = pixels.float().mean((1, 2))
        return means, means.mean(1) / 2


def graph_of(network):
    example = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
    return exports.Graph(network.eval(), {"pixels": example}, ("means", "half"), json.dumps({"name": "halved"}))


@pytest.mark.parametrize("name", exports.EXPORTS)
@pytest.mark.parametrize("threads", [None, 1])
def test_a_file_gives_what_the_network_gives_for_any_number_of_images(name, threads, tmp_path):
    format_ = exports.EXPORTS[name]
    assert format_.is_installed() and format_.computes("float32")
    path = tmp_path / f"halved{format_.ending}"
    format_.save(graph_of(Halved()), path)
    assert path.exists()
    run = format_.load(path, "float32", threads)
    for count in (5, 1, 3):
        means, half = run([PIXELS[:count]])
        np.testing.assert_allclose(means, PIXELS[:count].mean((1, 2)), rtol=1e-5)
        np.testing.assert_allclose(half, PIXELS[:count].mean((1, 2, 3)) / 2, rtol=1e-5)


def test_no_two_formats_have_the_same_ending():
    """`--format auto` goes by it."""
    endings = [format_.ending for format_ in exports.EXPORTS.values()]
    assert len(set(endings)) == len(endings) and all(ending.startswith(".") for ending in endings)


def test_a_format_whose_packages_are_not_there_is_not_installed(monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    assert not any(format_.is_installed() for format_ in exports.EXPORTS.values())


def test_openvino_reports_its_use_to_nobody():
    code = (
        "import sys\nfrom afdcli.formats import exports\nexports.import_openvino()\n"
        "print([name for name in sys.modules if 'openvino_telemetry' in name and sys.modules[name]])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_the_first_inferences_may_meet(tmp_path):
    """Here each thread gives way to the others whenever it can."""
    network = tmp_path / "halved.xml"
    exports.EXPORTS["openvino"].save(graph_of(Halved()), network)
    code = (
        "import threading, time\nimport numpy as np\nfrom pathlib import Path\n"
        "from afdcli.formats.exports import EXPORTS\n"
        f"run = EXPORTS['openvino'].load(Path({str(network)!r}), 'float32', None)\n"
        "threading.setprofile(lambda frame, event, argument: time.sleep(0) if event == 'c_call' else None)\n"
        "pixels = np.zeros((1, 32, 32, 3), np.uint8)\n"
        "threads = [threading.Thread(target=run, args=([pixels],)) for _ in range(3)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(exports.__file__).parents[2])
