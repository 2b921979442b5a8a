"""``bench run --weights official``: from an address to a figure, with the file and its digest in the record."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from claimbench.bench.measure.golden import golden_state, load_golden
from claimbench.bench.store.store import Store
from tests.bench import served_paper
from tests.bench.cli.test_bad_input import refused
from tests.bench.file_server import running
from tests.bench.served_paper import saved, state

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "goldens" / "ninformer" / "ninformer_cifar10.json"
SERVED = ("run", "--paper", "served", "--baseline", "none", "--weights", "official")


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def here(tmp_path, environment):
    """The command line finds the papers of this test and keeps its cache in a folder of its own."""
    environment["BENCH_PAPERS"] = str(tmp_path / "papers")
    environment["BENCH_WEIGHTS"] = str(tmp_path / "cache")
    environment.pop("HF_HUB_OFFLINE", None)
    return tmp_path


def pictures(folder, classes=10, each=2):
    """Write pictures into a folder a class, and return them as the model sees them, with their labels."""
    generator = np.random.default_rng(0)
    found = []
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{number}.png")
            found.append(torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1)
    return torch.stack(found), torch.arange(classes).repeat_interleave(each)


def publish_ninformer(here, url):
    """Write a paper whose model and layout are NiNformer's and whose weights are at ``url``."""
    folder = here / "papers" / "published"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "model.py").write_text("from claimbench.reproductions.ninformer.model import build as build\n")
    (folder / "official.py").write_text(
        "from claimbench.reproductions.ninformer.official import from_official as from_official\n"
    )
    paper = yaml.safe_load((ROOT / "reproductions" / "ninformer" / "paper.yaml").read_text())
    variant = {**paper["variants"][0], "name": "small", "checkpoint": {"url": url}}
    kept = {key: paper[key] for key in ("title", "task") if key in paper}
    (folder / "paper.yaml").write_text(yaml.safe_dump({"id": "published", **kept, "variants": [variant]}))
    return variant["config"]


def test_from_an_address_to_an_accuracy(bench, here, server):
    from claimbench.reproductions.ninformer.official import from_official

    official = {name: tensor.float() for name, tensor in golden_state(load_golden(GOLDEN)).items()}
    body = saved({"state_dict": official, "epoch": 3})
    server.serve("small.pth", body)
    config = publish_ninformer(here, f"{server.url}/small.pth")
    images, labels = pictures(here / "data")
    with torch.no_grad():
        predicted = from_official(config, official).eval()(images).argmax(1)

    run = ("run", "--paper", "published", "--metrics", "accuracy", "--weights", "official", "--baseline", "none")
    done = bench(*run, "--dataset", "folder", "--data", here / "data", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"fetching published/small from {server.url}/small.pth" in done.stderr
    [top1] = Store(here / "results").query(metric="folder_top1")
    assert top1.measurement.value == pytest.approx(100 * int((predicted == labels).sum()) / len(labels))
    assert top1.job.settings.weights == "official"
    digest = hashlib.sha256(body).hexdigest()
    for record in Store(here / "results").query():
        assert record.job.options.weights_sha256 == digest
        assert record.job.options.weights_url == f"{server.url}/small.pth"
    assert (
        json.loads((here / "papers" / "published" / "weights.lock.json").read_text())["weights"]["small"]["sha256"]
        == digest
    )

    server.files.clear()
    checked = bench("weights", "check", "--paper", "published")
    assert checked.returncode == 0, checked.stderr
    assert f"fits          published/small  {digest[:12]}" in checked.stdout


def test_weights_that_changed_are_refused_before_anything_is_measured(bench, here, server):
    server.serve("a.pth", saved(state()))
    served_paper.write(here / "papers", {"a": {"url": f"{server.url}/a.pth"}})
    assert bench(*SERVED, "--metrics", "params").returncode == 0
    shutil.rmtree(here / "results")
    (here / "cache" / "served" / "a.pth").write_bytes(saved(state(seed=1)))
    refused(bench(*SERVED, "--metrics", "params"), "a.pth is not the file that", "move it away")
    assert not (here / "results").exists()


def test_weights_of_another_model_are_named(bench, here, server):
    server.serve("a.pth", saved({"conv.weight": torch.zeros(4, 3, 3, 3), "fc.bias": torch.zeros(10)}))
    served_paper.write(here / "papers", {"a": {"url": f"{server.url}/a.pth"}})
    done = bench(*SERVED, "--metrics", "params")
    assert done.returncode == 1
    assert "does not fit a: missing or misshapen: head.weight, head.bias" in done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_variant_without_weights_has_a_row_that_says_so(bench, here, server):
    server.serve("a.pth", saved(state()))
    served_paper.write(here / "papers", {"a": {"url": f"{server.url}/a.pth"}, "b": None})
    done = bench(*SERVED, "--metrics", "params,accuracy")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = Store(here / "results").query(subject="b", metric="top1")
    assert [row.measurement.status for row in rows] == ["unavailable"]
    assert "no official weights of served/b are published" in rows[0].measurement.reason
    assert {row.job.settings.weights for row in Store(here / "results").query(subject="b", metric="params")} == {
        "random"
    }


def test_without_any_weights_the_run_does_not_begin(bench, here):
    served_paper.write(here / "papers", {"a": {"url": "https://weights.invalid/a.pth"}})
    done = bench(*SERVED, "--offline")
    refused(done, "--offline forbids the network: download https://weights.invalid/a.pth and save it as")
    assert not (here / "results").exists()


def test_weights_that_change_between_plan_and_measurement_fail_the_row(here, fake_papers):
    from claimbench.bench.core.records import Job, Options, Settings
    from claimbench.bench.run import worker

    torch.save(state(), here / "a.pth")
    options = Options(config={"width": 4}, weights_file=str(here / "a.pth"), weights_sha256="0" * 64)
    job = Job("fake", "a", "merged", "params", Settings(weights="a.pth"), options=options)
    assert {row.status for row in worker.run(job)} == {"failed"}
    assert "has changed since this run was planned" in worker.run(job)[0].reason
