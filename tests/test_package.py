"""What strangers install: the wheel, in an environment of its own."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_all_that_is_in_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "afdcli").rglob("*.py")}
    modules = {f"afdcli/weights/{path.name}" for path in (ROOT / "weights").glob("*.safetensors")}
    assert modules and sources | modules | {"afdcli/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_the_wheel_works_where_it_is_installed(wheel, tmp_path):
    """Its requirements are those of this environment: only afd itself is installed anew."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh"], check=True, timeout=60)
    fresh = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "fresh")})
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", fresh, str(wheel)]
    subprocess.run(install, check=True, timeout=60)
    Path(fresh, "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "fresh" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    shown = "import afdcli; from afdcli.models import classifier; print(afdcli.__file__, *classifier.SHIPPED)"
    run = subprocess.run([python, "-I", "-c", shown], check=True, capture_output=True, text=True, cwd=tmp_path)
    where, shipped, _ = run.stdout.split()
    assert where.startswith(fresh) and list(Path(shipped).glob("*.safetensors"))
    command = [
        python,
        "-I",
        "-m",
        "afdcli",
        "classify",
        str(ROOT / "examples" / "photos" / "lemur.jpg"),
        "-o",
        "rows.csv",
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=120)
    assert "indri" in (tmp_path / "rows.csv").read_text() or "lemur" in (tmp_path / "rows.csv").read_text()
