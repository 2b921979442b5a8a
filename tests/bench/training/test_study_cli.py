"""``bench study`` as a user meets it: what it prints, stores and refuses, and a loss that is no number."""

import json

import pytest

from tests.bench.study_runs import SMALL, records, start


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
    process = start(folder, environment, *SMALL[:-1], "cpu,cpu", "--seeds", "2", "--json", "out.json")
    out, err = process.communicate(timeout=400)
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


def test_a_loss_that_is_no_number_stops_says_where_and_keeps_the_checkpoint(bench, tmp_path):
    done = bench(*SMALL, "--seeds", "1", FAKE_STUDY="nan:50")
    assert done.returncode == 1
    assert "fake block seed 0: the loss became nan in epoch 2 of 3, step 16 of 35" in done.stderr.replace("\n", " ")
    assert "the checkpoint after epoch 1 is kept" in done.stderr
    assert len(list((tmp_path / "results/studies/unfinished").glob("*/*block*.pt"))) == 1
    resumed = bench("study", "--resume", "latest")  # with the block put right
    assert resumed.returncode == 0, resumed.stderr
    assert len(records(tmp_path)) == 2


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
