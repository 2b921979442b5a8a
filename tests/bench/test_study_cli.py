"""``bench study`` as a user meets it: trained, killed, interrupted, resumed, gone wrong."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from bench.store import Store

SMALL = ("study", "--paper", "fake", "--quick", "--epochs", "3", "--seeds", "2", "--devices", "cpu,cpu")


def records(results, metric="study_accuracy"):
    """What each training came to, without what a clock says."""
    found = {}
    for record in Store(results / "studies").query(metric=metric):
        detail = dict(record.measurement.detail)
        for epoch in detail.get("history", ()):
            epoch.pop("seconds")
        found[record.job.form, record.job.round] = (record.measurement.value, detail)
    return found


def checkpoints(folder):
    """Every checkpoint with its inode: each one that is written is another file."""
    found = set()
    for path in (folder / "results/studies/unfinished").glob("*/*.pt"):
        with suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_ino))
    return found


def start(tmp_path, environment, *arguments):
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The results of a study that nothing disturbed, what it printed, and its JSON."""
    import os

    from tests.bench.conftest import PAPERS, ROOT

    folder = tmp_path_factory.mktemp("study")
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {
        **os.environ,
        "BENCH_PAPERS": str(PAPERS),
        "PYTHONPATH": os.pathsep.join(paths),
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }
    process = start(folder, environment, *SMALL, "--json", "out.json")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder / "results", out, err, json.loads((folder / "out.json").read_text())


def test_a_study_says_what_it_did_and_what_it_found(undisturbed):
    results, out, err, found = undisturbed
    assert "fake: depthwise 3x3 convolution against the same, 1x1" in out
    assert "digits, quick: all training pictures of 8 x 8, 3 epochs" in err
    assert "[4 of 4]" in err
    [study] = found["studies"]
    assert study["verdict"] in out
    block, counterpart = study["arms"]
    assert [arm["name"] for arm in (block, counterpart)] == ["block", "counterpart"]
    assert abs(block["parameters"] - counterpart["parameters"]) <= 0.02 * block["parameters"]
    assert block["flops"] > 0 < block["memory"]
    assert len(block["accuracy"]["each"]) == 2
    assert block["accuracy"]["mean"] > 50
    value = block["accuracy"]["mean"] - counterpart["accuracy"]["mean"]
    assert study["difference"]["value"] == pytest.approx(value)
    assert study["difference"]["low"] < value < study["difference"]["high"]
    assert not (results / "studies" / "unfinished").exists() or not list((results / "studies" / "unfinished").iterdir())


def test_stored_studies_are_a_section_of_their_own(undisturbed, bench):
    results, _, _, _ = undisturbed
    shown = bench("compare", "--results", results)
    assert shown.returncode == 0, shown.stderr
    assert "Small-scale studies" in shown.stdout
    assert "imagenet" not in shown.stdout.lower()
    page = bench("compare", "--results", results, "--format", "markdown")
    assert "## Does the block help?" in page.stdout
    written = bench("compare", "--results", results, "--tables")
    assert [line.split("/")[-1].split(".")[0] for line in written.stdout.split()] == ["studies"]
    assert bench("compare", "--results", results, "--format", "csv").returncode == 2


def test_the_same_command_gives_the_same_to_the_last_bit_and_other_seeds_do_not(undisturbed, bench, tmp_path):
    done = bench(*SMALL[:-4], "--seeds", "1-2", "--devices", "cpu")
    assert done.returncode == 0, done.stderr
    before, after = records(undisturbed[0]), records(tmp_path / "results")
    assert set(after) == {("block", 1), ("block", 2), ("counterpart", 1), ("counterpart", 2)}
    assert after["block", 1] == before["block", 1]
    assert after["block", 2][1]["weights"] != before["block", 1][1]["weights"]


def test_a_study_killed_again_and_again_ends_with_the_same_numbers(undisturbed, tmp_path, environment):
    chance = random.Random(0)
    arguments = (*SMALL[:-2], "--devices", "cpu")
    for _ in range(4):
        slow = environment | {"FAKE_STUDY": "slow:0.01"}
        process = start(tmp_path, slow, *arguments)
        seen = checkpoints(tmp_path)
        wait_for(lambda before=seen: checkpoints(tmp_path) - before, process)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
        arguments = ("study", "--resume", "latest")
    process = start(tmp_path, environment, *arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert records(tmp_path / "results") == records(undisturbed[0])
    assert Store(tmp_path / "results" / "studies").problems == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_reports_the_seeds_that_are_done(undisturbed, tmp_path, environment, number):
    arguments = (*SMALL[:-4], "--seeds", "3", "--devices", "cpu")
    process = start(tmp_path, environment | {"FAKE_STUDY": "slow:0.005"}, *arguments)
    wait_for(lambda: len(records(tmp_path / "results")) >= 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 6 trainings left; go on with: bench study --resume" in err
    assert "block ahead in" in out
    assert "Traceback" not in err
    resumed = start(tmp_path, environment, "study", "--resume", "latest")
    assert resumed.communicate(timeout=300)[0].count("fake:") == 1
    assert resumed.returncode == 0
    for key, value in records(undisturbed[0]).items():
        assert records(tmp_path / "results")[key] == value


def test_a_loss_that_is_no_number_stops_says_where_and_keeps_the_checkpoint(bench, tmp_path):
    done = bench(*SMALL[:-4], "--seeds", "1", "--devices", "cpu", FAKE_STUDY="nan:50")
    assert done.returncode == 1
    assert "fake block seed 0: the loss became nan in epoch 2 of 3, step 16 of 35" in done.stderr.replace("\n", " ")
    assert "the checkpoint after epoch 1 is kept" in done.stderr
    assert len(list((tmp_path / "results/studies/unfinished").glob("*/*block*.pt"))) == 1
    resumed = bench("study", "--resume", "latest")  # with the block put right
    assert resumed.returncode == 0, resumed.stderr
    assert len(records(tmp_path / "results")) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name what to study"),
        (("--paper", "fakee"), "did you mean fake"),
        (("--paper", "fake", "--quick", "--full"), "exclude each other"),
        (("--paper", "fake", "--dataset", "mnist"), "did you mean fashion-mnist"),
        (("--paper", "fake", "--seeds", "0"), "1 to 1000 seeds"),
        (("--paper", "fake", "--seeds", "4-2"), "names no seeds"),
        (("--paper", "fake", "--seeds", "x"), "how many (5)"),
        (("--paper", "fake", "--devices", "cpu,cuda"), "no NVIDIA GPU"),
        (("--paper", "fake", "--data", "."), "--data names Fashion-MNIST"),
        (("--baseline", "resnet19"), "did you mean resnet18"),
        (("--resume", "latest"), "no unfinished study"),
        (("--resume", "latest", "--paper", "fake"), "leave out all options"),
        (("--paper", "fake", "--json", "nowhere/out.json"), "cannot be written"),
        (("--baseline", "resnet18", "--data", "."), "no train-images-idx3-ubyte"),
    ],
)
def test_bad_input_is_one_sentence(bench, arguments, sentence):
    done = bench("study", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ("shape", "the study of fake fails before any training"),
        ("large", "the study of fake: its block and its counter"),
    ],
)
def test_arms_that_do_not_work_are_refused_before_anything_is_trained(bench, tmp_path, does, sentence):
    done = bench("study", "--paper", "fake", "--quick", FAKE_STUDY=does)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_damaged_checkpoint_is_named(bench, tmp_path, environment):
    process = start(tmp_path, environment | {"FAKE_STUDY": "slow:0.01"}, *SMALL[:-2], "--devices", "cpu")
    unfinished = tmp_path / "results/studies/unfinished"
    wait_for(lambda: list(unfinished.glob("*/*.pt")), process)
    process.kill()
    process.communicate()
    [path] = unfinished.glob("*/*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    done = bench("study", "--resume", "latest")
    assert done.returncode == 1
    assert f"checkpoint {path.relative_to(tmp_path)} cannot be read" in done.stderr.replace("\n", "")
