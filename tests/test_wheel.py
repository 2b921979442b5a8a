"""The wheel, installed outside the checkout beside packages whose import names ours once took."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "goldens" / "overlock" / "overlock_xt.json"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that runs a program of an environment with the wheel in it, in a folder of its own.

    The environment sees the packages of this one, but not this checkout. The wheel is built without the compiler; the
    native modules of this environment are put into it, where there are any.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--config-settings=wheel.cmake=false"]
    copy = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if not name.startswith("results/") and (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", folder, copy], check=True, timeout=300)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True, timeout=300)
    # After the wheel: pip would find this checkout's installation in there and install nothing.
    (packages / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for level in ("baseline", "x86_64_v3", "x86_64_v4"):
        if (found := find_spec(f"claimbench.kernels._native_{level}")) is not None and found.origin:
            shutil.copy(found.origin, packages / "claimbench" / "kernels")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BENCH_PAPERS")}

    def run(program, *arguments):
        return subprocess.run(
            [folder / "venv" / "bin" / program, *map(str, arguments)],
            cwd=elsewhere,
            env={**kept, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_it_stands_beside_the_packages_that_own_the_name_kernels(installed):
    code = "import kernels, transformers, claimbench.kernels as ours; print(kernels.__file__); print(ours.__file__)"
    found = installed("python", "-c", code)
    assert found.returncode == 0, found.stderr
    theirs, ours = found.stdout.split()
    assert ours.endswith("claimbench/kernels/__init__.py")
    assert str(ROOT) not in ours
    assert theirs.endswith("site-packages/kernels/__init__.py")


def test_its_models_are_created_from_any_folder(installed):
    code = "import claimbench; print(claimbench.create_model('dhvt_tiny_cifar_patch4', num_classes=3).num_classes)"
    found = installed("python", "-c", code)
    assert found.stdout == "3\n", found.stderr


def test_its_papers_are_listed_from_any_folder(installed):
    found = installed("bench", "list", "--json")
    assert found.returncode == 0, found.stderr
    papers = sorted(file.parent.name for file in (ROOT / "reproductions").glob("*/paper.yaml"))
    assert [paper["id"] for paper in json.loads(found.stdout)] == papers


def test_it_brings_its_golden_records(installed):
    arguments = ("--paper", "overlock", "--variant", "overlock_xt", "--baseline", "none", "--no-claims", "--no-store")
    found = installed("bench", "run", *arguments, "--metrics", "params,flops,parity", "--quick", "--json", "-")
    assert found.returncode == 0, found.stderr
    assert "there is no golden record" not in found.stdout
    assert '"parity"' in found.stdout


def test_it_writes_the_skeleton_of_a_paper(installed):
    found = installed("bench", "new-paper", "mine", "--json")
    assert found.returncode == 0, found.stderr
    folder = Path(json.loads(found.stdout)["folder"])
    template = ROOT / "bench" / "papers" / "skeleton" / "template"
    assert sum(file.is_file() for file in folder.rglob("*")) == len(list(template.rglob("*.jinja")))


def test_it_verifies_a_golden_record(installed):
    found = installed("bench", "verify", "--golden", GOLDEN)
    assert found.returncode == 0, found.stdout + found.stderr
