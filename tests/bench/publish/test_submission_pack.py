"""``bench submit``: a run becomes one file, always the same, with nothing in it that names who or where."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Job, Measurement, Settings
from claimbench.bench.publish.submission import lines, private
from claimbench.bench.publish.submission.check import Checker
from claimbench.bench.publish.submission.pack import pack, write
from claimbench.bench.publish.submission.read import parse
from claimbench.bench.run.run_file import RUNS, RunFile
from claimbench.bench.store.store import Store
from tests.bench.publish.test_submission_folder import MODELS, NOW
from tests.bench.record_examples import RUN, record

RESULTS = Path(__file__).parents[3] / "results"
ENVIRONMENT = {
    "device": "cpu-x-2c",
    "cpu": {"model": "X", "architecture": "x86_64", "logical_cores": 2, "usable_cores": 2, "level": "baseline"},
    "memory_bytes": 2**33,
    "gpu": None,
    "os": "Linux 6",
    "python": "3.11.7",
    "libraries": {"torch": "2.15.0"},
    "torch_build": {},
    "native_kernels": None,
    "variables": {},
}


@pytest.fixture
def store(tmp_path):
    """A store of one run with a paper's model, a model of the user's own and a file in the user's home."""
    store = Store(tmp_path)
    digest = store.add_environment(ENVIRONMENT)
    secret = {"weights_file": "/home/ann/weights/demo.pth", "data": "/home/ann/imagenet"}
    mine = record(options=secret, environment=digest)
    reason = "weights file /home/ann/weights/demo.pth does not fit"
    lost = record("flops", None, environment=digest, status="failed", reason=reason)
    own = record(paper="", subject="/home/ann/models/official.py:build", form="", environment=digest)
    timed = record("latency", 0.1, unit="s", environment=digest, samples=(0.1, 0.11, 0.09))
    for each in (mine, lost, own, timed):
        store.append(each, device="cpu-x-2c")
    jobs = tuple(each.job for each in (mine, lost, own, timed))
    RUNS.save(tmp_path, RunFile(RUN, jobs, ("demo",), "cpu"))
    return store


def test_the_same_run_gives_the_same_bytes(store):
    assert pack(store.root, RUN).data == pack(store.root, "latest").data


def test_paths_and_models_of_the_users_own_stay_here(store):
    packed = pack(store.root, RUN, "A. Lab")
    text = packed.data.decode()
    assert "/home" not in text
    assert "ann" not in text.replace("channels", "")
    assert "official.py" not in text
    assert packed.left_out == ("official.py:build",)
    assert "/home/ann/weights/demo.pth" in packed.shortened
    assert "weights file demo.pth does not fit" in text
    submission, reasons = parse(packed.data)
    assert reasons == []
    assert submission.header.submitter == "A. Lab"
    assert [entry.record.key for entry in submission.entries] == [e.record.job.key() for e in submission.entries]
    assert len(submission.plan.jobs) == len(submission.entries) == 3


def test_names_of_user_and_host_are_left_out(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "gpu-box-17.example.org")
    monkeypatch.setattr("getpass.getuser", lambda: "mallory")
    found = private.scrub({"reason": "mallory@gpu-box-17.example.org has no disk; gpu-box-17 is full", "n": [1, None]})
    assert found == {"reason": "USER@HOST has no disk; HOST is full", "n": [1, None]}


def test_a_user_whose_name_is_a_word_spoils_no_record(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    assert private.scrub("the square root of two") == "the square root of two"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("/home/ann/x.pth does not fit", "x.pth does not fit"),
        ("FileNotFoundError:/home/ann/x", "FileNotFoundError:x"),
        ("'~/data/imagenet' is empty", "'imagenet' is empty"),
        (r"C:\Users\Ann\model.py:build", "model.py:build"),
        ("file:///home/ann/x", "x"),
        ("img/s", "img/s"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("macs / 2, 1/2, aten::mm, a/b/c", "macs / 2, 1/2, aten::mm, a/b/c"),
    ],
)
def test_paths_become_file_names(text, scrubbed):
    assert private.scrub(text) == scrubbed
    assert list(private.paths(scrubbed)) == []


def test_what_cannot_be_packed_is_one_sentence(store, tmp_path):
    with pytest.raises(UserError, match="unknown run"):
        pack(store.root, "20200101T000000Z-000000")
    with pytest.raises(UserError, match="no run"):
        pack(tmp_path / "nothing", "latest")
    other = store.add_environment({**ENVIRONMENT, "python": "3.12.0"})
    store.append(record("params", 5, subject="demo_s", environment=other), device="cpu-x-2c")
    with pytest.raises(UserError, match="2 environments"):
        pack(store.root, RUN)


def test_a_damaged_run_is_not_packed(store):
    (file,) = (store.root / "samples").rglob("*.jsonl")
    file.write_bytes(b"")
    with pytest.raises(UserError, match="is damaged"):
        pack(store.root, RUN)


def test_a_run_of_own_models_only_is_not_packed(tmp_path):
    own = record(paper="", subject="mine.py:build", form="")
    Store(tmp_path).append(own, device="cpu")
    RUNS.save(tmp_path, RunFile(RUN, (own.job,), ("demo",), "cpu"))
    with pytest.raises(UserError, match="no records of a paper's model"):
        pack(tmp_path, RUN)


def test_a_file_is_never_overwritten_by_another(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, b"one\n")
    write(path, b"one\n")
    with pytest.raises(UserError, match="holds something else"):
        write(path, b"two\n")
    assert path.read_bytes() == b"one\n"
    with pytest.raises(UserError, match="is a folder"):
        write(tmp_path, b"one\n")


def test_compressed_bytes_are_the_same_too(tmp_path):
    write(tmp_path / "a.gz", b"one\n")
    write(tmp_path / "b.gz", b"one\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"one\n"


def test_a_name_is_short_and_printable(store):
    submission, _ = parse(pack(store.root, RUN, "  A. Lab ").data)
    assert submission.header.submitter == "A. Lab"
    for name in ("a" * 81, "a\nb", "\x1b[31m"):
        with pytest.raises(UserError, match="--name"):
            pack(store.root, RUN, name)


def runs():
    return sorted(path.stem for path in (RESULTS / "runs").glob("*.json")) if RESULTS.is_dir() else []


RESUMED = "20261121T094515Z-76d23f"
"""A committed run that was interrupted and resumed at a later commit: its records belong to two environments."""

REFUSED = {
    "20261121T103144Z-e75680": {"latency-throughput"},  # a busy machine: rounds of timm:davit_tiny lie 5 times apart
}
"""The committed runs that are refused, each for a reason that is true of it."""


def test_a_run_of_two_environments_is_not_packed():
    with pytest.raises(UserError, match="was measured in 2 environments"):
        pack(RESULTS, RESUMED)


@pytest.mark.parametrize("run", [run for run in runs() if run != RESUMED])
def test_committed_runs_are_good_but_for_what_is_true_of_them(run, monkeypatch):
    # Counting every model again takes minutes: the folder's submissions show that it is done, here it is left out.
    monkeypatch.setattr(MODELS, "facts", lambda job: MODELS.own(job) and "left out in this test")
    verdict = Checker(now=NOW, models=MODELS).check_bytes(pack(RESULTS, run).data)
    assert {reason.rule for reason in verdict.reasons} == REFUSED.get(run, set()), [str(r) for r in verdict.reasons]


def test_the_lines_have_the_fields_of_what_is_stored():
    from dataclasses import fields

    def names(kind, *without):
        return {field.name for field in fields(kind)} - set(without)

    assert lines.Settings.model_fields.keys() == names(Settings)
    assert lines.PlannedJob.model_fields.keys() == names(Job)
    assert lines.Measurement.model_fields.keys() == names(Measurement, "samples")
    assert lines.Plan.model_fields.keys() == names(RunFile)


def test_what_this_machine_is_fits_the_lines():
    from claimbench.bench.machine.environment import capture, device_name, name_of

    found = json.loads(json.dumps(capture("cpu")))
    lines.Environment.model_validate(found)
    assert name_of(found) == device_name("cpu") == found["device"]


def test_a_gpu_fits_the_lines():
    gpu = {**ENVIRONMENT, "gpu": {"unknown": "NVML cannot reach cuda"}}
    lines.Environment.model_validate(gpu)


def test_committed_results_are_not_touched_by_packing(tmp_path):
    if not runs():
        pytest.skip("there is no results folder beside this checkout")
    copy = tmp_path / "results"
    shutil.copytree(RESULTS, copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    pack(copy, runs()[0])
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_records_of_two_devices_are_not_one_submission(store):
    again = replace(record("params", 7, subject="demo_b"), environment=store.add_environment(ENVIRONMENT))
    store.append(again, device="cpu-y-2c")
    with pytest.raises(UserError, match="was measured"):
        pack(store.root, RUN)
