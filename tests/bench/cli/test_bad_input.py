"""Whatever a user gets wrong, and whatever a job does: one clear sentence, the right exit status, nothing lost."""

import json
import os
import pickle
import resource
import subprocess
import sys

import pytest
import torch

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.measure.verify import verify
from claimbench.bench.run import worker
from claimbench.bench.store.store import Store

FAKE = ("run", "--paper", "fake", "--baseline", "none")


def refused(done, *sentences, status=2):
    """Check that a command ended with one sentence on stderr that holds each of ``sentences``."""
    said = [line for line in done.stderr.splitlines() if line.startswith("bench: ")]
    assert done.returncode == status, done.stdout + done.stderr
    assert len(said) == 1, done.stderr
    assert all(sentence in said[0] for sentence in sentences), said[0]
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--paper", "overlok"), "unknown paper 'overlok'; did you mean overlock"),
        (("run",), "say which paper, as in `bench run PAPER`"),
        ((*FAKE, "--variant", "fake_z"), "unknown variant 'fake_z'; did you mean fake_s"),
        ((*FAKE, "--metrics", "params,thruput"), "unknown metric 'thruput'; did you mean throughput"),
        ((*FAKE, "--device", "cud"), "unknown device 'cud'; did you mean cuda"),
        ((*FAKE, "--device", "cuda:99"), "cuda:99"),
        ((*FAKE, "--batch", "0"), "batch '0' is not a whole number"),
        ((*FAKE, "--device", "cpu", "--mode", "cudagraph"), "cudagraph needs an NVIDIA GPU"),
        ((*FAKE, "--json", "no/such/folder/x.json"), "cannot be written"),
        (("run", "--resume", "latest"), "there is no run to resume"),
        (("run", "--resume", "x", "--paper", "fake"), "a resumed run keeps the plan"),
        (("show", "overlok"), "did you mean overlock"),
        (("train", "--paper", "van", "--data", "a" * 300), "cannot be read or written (File name too long)"),
        (("compare",), "no records are stored under results"),
        (("compare", "--format", "pdf"), "unknown format 'pdf'"),
        (("explain",), "say what to explain"),
        (("explain", "rtm"), "unknown paper 'rtm'; did you mean rmt"),
        (("explain", "rmt", "--reported", "4.5G"), "are for --model"),
        (("explain", "--model", "net.py:build"), "on which input net.py:build is to be counted"),
        (("explain", "--model", "net.py:build", "--input", "3x8x8"), "net.py does not exist"),
        (("kernels", "check", "--operator", "layer_nrm_2d"), "did you mean layer_norm_2d"),
    ],
)
def test_names_that_do_not_exist(bench, arguments, sentence):
    refused(bench(*arguments), sentence)


def test_data_are_not_judged_by_a_variant_that_does_not_exist(bench):
    done = bench(*FAKE, "--variant", "fake_z", "--dataset", "folder", "--data", ".")
    refused(done, "unknown variant 'fake_z'")
    assert "unknown data set" not in done.stderr


def test_all_that_is_wrong_is_said_at_once(bench):
    done = bench(*FAKE, "--variant", "fake_z", "--metrics", "flop", "--device", "gpu", "--weights", "x.pth")
    refused(done, "'fake_z'", "'flop'", "'gpu'", "weights file x.pth does not exist")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--no-such-option"),
        ("run", "--rounds", "0"),
        (*FAKE, "--timeout", "inf"),
        (*FAKE, "--timeout", "nan"),
        ("train", "--paper", "sasrec", "--lr", "inf"),
        ("rnu",),
        ("show",),
    ],
)
def test_wrong_usage(bench, arguments):
    done = bench(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "text",
    ["id: [", "id: x\ntitle: t\n", "id: !!python/object/apply:os.system ['touch pwned']", "variants: " + "[" * 50_000],
)
def test_a_broken_or_hostile_paper(bench, tmp_path, text):
    (tmp_path / "papers" / "x").mkdir(parents=True)
    (tmp_path / "papers" / "x" / "paper.yaml").write_text(text)
    papers = {"BENCH_PAPERS": os.pathsep.join([str(tmp_path / "papers"), os.environ.get("BENCH_PAPERS", "")])}
    refused(bench("run", "--paper", "x", **papers), str(tmp_path / "papers" / "x" / "paper.yaml"))
    listed = bench("list", **papers)
    assert listed.returncode == 0
    assert "overlock" in listed.stdout
    assert "BROKEN" in listed.stdout
    assert not (tmp_path / "pwned").exists()


class Payload:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def checkpoint(path, kind):
    good = {"conv.weight": torch.zeros(4, 3, 3, 3), "head.weight": torch.zeros(10, 4), "head.bias": torch.zeros(10)}
    if kind == "pickled code":
        torch.save({**good, "extra": Payload()}, path)
    elif kind == "bare pickle":
        path.write_bytes(pickle.dumps(Payload()))
    elif kind == "wrong shapes":
        torch.save({**good, "conv.weight": torch.zeros(5, 3, 3, 3)}, path)
    elif kind == "missing entries":
        torch.save({"conv.weight": good["conv.weight"]}, path)
    elif kind == "no tensors":
        torch.save({"epoch": 3}, path)
    elif kind == "cut off":
        torch.save(good, path)
        path.write_bytes(path.read_bytes()[:-200])
    elif kind == "not a checkpoint":
        path.write_text("hello")
    elif kind == "empty":
        path.touch()
    else:
        torch.save(good, path)
    return path


WEIGHTS = (*FAKE, "--variant", "fake_s", "--form", "merged", "--metrics", "params")


@pytest.mark.parametrize("kind", ["pickled code", "wrong shapes"])
def test_a_checkpoint_that_is_wrong_or_hostile(bench, tmp_path, kind):
    file = checkpoint(tmp_path / "weights.pth", kind)
    refused(bench(*WEIGHTS, "--weights", file), "weights file", "weights.pth")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "kind", ["bare pickle", "missing entries", "no tensors", "cut off", "not a checkpoint", "empty"]
)
def test_a_checkpoint_that_cannot_be_loaded(fake_papers, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    file = str(checkpoint(tmp_path / "weights.pth", kind))
    options = Options(config={"width": 4}, sample_shape=(3, 8, 8), weights_file=file)
    rows = worker.run(Job("fake", "fake_s", "merged", "params", Settings(weights="weights.pth"), options=options))
    assert {row.status for row in rows} == {"failed"}
    assert all("weights file" in row.reason and "\n" not in row.reason for row in rows)
    assert not (tmp_path / "pwned").exists()


def test_a_checkpoint_that_fits(bench, tmp_path):
    done = bench(*WEIGHTS, "--weights", checkpoint(tmp_path / "weights.pth", "good"))
    assert done.returncode == 0, done.stdout + done.stderr


GOLDEN = {
    "paper": "fake",
    "variant": "fake_s",
    "dtype": "float64",
    "input": {"shape": [1, 3, 8, 8], "seed": 0},
    "outputs": {"logits": {"shape": [1, 10], "l2": 1.0, "mean": 0.0, "head": [[0.0] * 10], "tail": [[0.0] * 8]}},
    "state": [["conv.weight", [4, 3, 3, 3], "float32", "filled"]],
}


def test_a_golden_of_an_unknown_paper(bench, tmp_path):
    (tmp_path / "golden.json").write_text(json.dumps(GOLDEN | {"paper": "overlok"}))
    refused(
        bench("verify", "--golden", "golden.json"), "golden golden.json: unknown paper 'overlok'; did you mean overlock"
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"paper": "../../etc"}, "unknown paper '../../etc'"),
        ({"variant": "fake_z"}, "unknown variant 'fake_z'; did you mean fake_s"),
        ({"dtype": "float3"}, "`dtype` must be float64 or float32"),
        ({"outputs": {}}, "`outputs` is empty"),
        ({"state": [["conv.weight", "wide", "float32", "filled"]]}, "conv.weight must be a list of sizes"),
        ({"input": {}}, "lacks 'shape'"),
    ],
)
def test_a_golden_that_is_broken(fake_papers, tmp_path, changes, sentence):
    file = tmp_path / "golden.json"
    file.write_text(json.dumps(GOLDEN | changes))
    with pytest.raises(UserError) as error:
        verify([file])
    assert str(error.value).startswith(f"golden {file}")
    assert sentence in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", '{"paper": "fake"}', None])
def test_a_golden_that_is_no_golden(tmp_path, text):
    file = tmp_path / "golden.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=r"golden .*golden\.json"):
        verify([file])


def test_all_goldens_are_read_before_the_first_model_runs(fake_papers, tmp_path):
    for name, changes in (("a", {}), ("b", {"paper": "overlok"})):
        (tmp_path / f"{name}.json").write_text(json.dumps(GOLDEN | changes))
    told = []
    with pytest.raises(UserError, match="overlok"):
        verify([tmp_path / "a.json", tmp_path / "b.json"], on_result=told.append)
    assert told == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/results", "/dev/null"])
def test_a_results_folder_that_cannot_be_written(bench, tmp_path, place):
    (tmp_path / "file").touch()
    refused(bench(*FAKE, "--results", place, fast=True), "cannot be written", "--results", "--no-store")


def test_a_disk_that_fills_up_on_the_way(environment, tmp_path):
    """The limit on a file's size stands for the disk's: the plan still fits, and so do the first records."""
    limit = 16_000
    command = [sys.executable, "-m", "tests.bench.fast_bench", *FAKE, "--all", "--variant", "fake_s", "--metrics",
               "memory", "--batch", "1,2,3,4,5,6,7,8"]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    refused(done, "cannot be written (File too large)", status=1)
    assert all(f"batch {batch}" in done.stdout for batch in range(1, 9))
    store = Store(tmp_path / "results")
    kept = {record.job.settings.batch for record in store.query()}
    assert kept == set(range(1, len(kept) + 1))
    assert 0 < len(kept) < 8
    assert store.problems == []
    again = subprocess.run(
        [sys.executable, "-m", "tests.bench.fast_bench", "run", "--resume", "latest"], cwd=tmp_path, env=environment
    )
    assert again.returncode == 0
    assert {record.job.settings.batch for record in Store(tmp_path / "results").query()} == set(range(1, 9))


def test_a_crash_in_a_job_is_a_row_and_the_others_go_on(bench, tmp_path):
    done = bench(
        *FAKE, "--variant", "fake_abort", "fake_s", "--form", "merged", "--metrics", "latency,params", "--quick"
    )
    assert done.returncode == 1
    assert "SIGABRT" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    records = Store(tmp_path / "results").query()
    found = {(r.job.subject, r.measurement.metric): r.measurement.status for r in records}
    assert found["fake_abort", "latency"] == "failed"
    assert found["fake_abort", "params"] == found["fake_s", "latency"] == found["fake_s", "params"] == "measured"


def test_running_out_of_memory_is_a_row_that_names_the_batch(bench, tmp_path):
    done = bench(*FAKE, "--variant", "fake_oom", "--form", "merged", "--metrics", "throughput,params", "--batch", "64",
                 "--quick")  # fmt: skip
    assert done.returncode == 1
    records = Store(tmp_path / "results").query()
    found = {r.measurement.metric: r.measurement for r in records}
    assert found["throughput"].reason == "batch 64 does not fit in the memory of cpu"
    assert found["params"].status == "measured"


def test_a_job_that_takes_too_long_is_a_row(bench, tmp_path):
    done = bench(*FAKE, "--variant", "fake_s", "--metrics", "params", "--timeout", "0.01")
    assert done.returncode == 1
    assert "not done after 0.01 s (--timeout)" in done.stdout


def test_where_memory_does_not_suffice_a_sentence_says_so(environment):
    code = """
import claimbench.bench.cli.listing
from claimbench.bench.__main__ import main
def greedy(*names, **options):
    raise MemoryError("Unable to allocate 1.46 TiB")
claimbench.bench.cli.listing.print_list = greedy
main(["list"])
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "bench: the memory does not suffice (Unable to allocate 1.46 TiB): take less at once, as by --batch\n"
    )


@pytest.mark.parametrize("debug", [False, True])
def test_an_internal_error_is_one_sentence_and_a_traceback_only_on_demand(environment, debug):
    code = f"""
import claimbench.bench.cli.listing
from claimbench.bench.__main__ import main
def broken(*names, **options):
    raise ZeroDivisionError("of our own making")
claimbench.bench.cli.listing.print_list = broken
main(["list"] + ["--debug"] * {debug})
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) is debug
    assert "ZeroDivisionError: of our own making" in done.stderr
