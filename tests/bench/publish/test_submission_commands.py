"""``bench submit`` and ``bench results`` from the shell: what they print, and how they end."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from claimbench.bench.cli.app import app
from tests.bench.bad_submissions import COUNTS, FOLDER, TIMES
from tests.bench.submission_draft import read


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Run a command in this process, where torch is loaded already; its papers are the real ones."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return run


def bad(name):
    (path,) = (FOLDER / "bad").glob(f"*--{name}.*")
    return path


@pytest.fixture
def counts(tmp_path):
    """A good submission without anything to count again, so that it is judged at once."""
    draft = read(COUNTS)
    path = tmp_path / "mine.jsonl"
    path.write_bytes(draft.seal())
    return path


def test_a_good_file_ends_with_0_and_a_bad_one_with_1(bench, counts):
    done = bench("results", "check", counts, NO_COLOR="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good, run 2026" in done.stdout
    done = bench("results", "check", counts, bad("dirty"))
    assert done.returncode == 1
    assert "changed and not committed [unknown-code]" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_read_ends_with_2_and_the_others_are_judged(bench, counts, tmp_path):
    done = bench("results", "check", "nowhere.jsonl", bad("empty"), tmp_path)
    assert done.returncode == 2
    assert "nowhere.jsonl cannot be read (No such file or directory)" in done.stderr
    assert "is a folder" in done.stderr
    assert "it is empty [file]" in done.stdout


def test_every_reason_is_a_line_and_json_has_them_all(here, tmp_path):
    draft = read(TIMES)
    draft.records[0]["commit"] += "+dirty"
    draft.first("latency")["measurement"]["value"] *= 2
    path = tmp_path / "two.jsonl"
    path.write_bytes(draft.seal())
    done = here("results", "check", path, "--json")
    assert done.exit_code == 1
    (file,) = json.loads(done.stdout)["files"]
    assert {"unknown-code", "not-from-samples"} <= {reason["rule"] for reason in file["reasons"]}
    assert not file["good"]


def test_two_submissions_of_one_run_are_not_both_taken(here, tmp_path):
    done = here("results", "check", COUNTS, COUNTS)
    assert done.exit_code == 1
    assert "holds run" in done.stdout
    assert "[duplicate-run]" in done.stdout


def test_two_runs_of_one_machine_at_one_time_overlap(here, tmp_path):
    draft = read(TIMES)
    run = draft.header["run"][:-6] + "ffffff"
    draft.header["run"] = draft.plan["run"] = run
    for record in draft.records:
        record["run"] = run
    path = tmp_path / "other.jsonl"
    path.write_bytes(draft.seal())
    done = here("results", "check", TIMES, path)
    assert done.exit_code == 1
    assert "the same machine measured something else then" in done.stdout


def test_a_good_one_is_added_once_and_compared_like_any_other(bench, tmp_path, counts):
    done = bench("results", "add", counts, "--results", "theirs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "added to theirs" in done.stdout
    files = {path: path.read_bytes() for path in (tmp_path / "theirs").rglob("*") if path.is_file()}
    kept = {path.relative_to(tmp_path / "theirs").parts[0] for path in files}
    assert kept == {"records", "environments", "submissions"}
    done = bench("results", "add", counts, "--results", "theirs")
    assert "already in theirs" in done.stdout
    assert {path: path.read_bytes() for path in (tmp_path / "theirs").rglob("*") if path.is_file()} == files
    shown = bench("compare", "--paper", "van", "--results", "theirs")
    assert shown.returncode == 0
    assert "van_b0" in shown.stdout
    resumed = bench("run", "--resume", "latest", "--results", "theirs")
    assert "there is no run to resume" in resumed.stderr


def test_a_refused_one_is_not_added(here, tmp_path):
    done = here("results", "add", bad("dirty"), "--results", "theirs")
    assert done.exit_code == 1
    assert not (tmp_path / "theirs").exists()


def test_other_figures_under_a_stored_run_are_refused(here, tmp_path, counts):
    assert here("results", "add", counts, "--results", "theirs").exit_code == 0
    draft = read(counts)
    for record in draft.records:
        record["time"] = record["time"].replace("+00:00", "Z")
    counts.write_bytes(draft.seal())
    done = here("results", "add", counts, "--results", "theirs")
    assert done.exit_code == 1
    assert "[duplicate-run]" in done.stdout


def test_submit_says_what_leaves_and_writes_it(bench, tmp_path):
    fake = (
        "run",
        "--paper",
        "fake",
        "--variant",
        "fake_s",
        "--baseline",
        "none",
        "--metrics",
        "params",
        "--rounds",
        "1",
    )
    assert bench(*fake, fast=True).returncode == 0
    dry = bench("submit", "--dry-run", "--out", "x.jsonl", "--name", "A. Lab")
    assert dry.returncode == 0
    assert '"submitter":"A. Lab"' in dry.stdout
    assert not (tmp_path / "x.jsonl").exists()
    assert str(tmp_path) not in dry.stdout
    done = bench("submit", "--out", "x.jsonl.gz", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records"] == 4
    assert bench("submit", "--run", "latest", "--out", "y.jsonl").returncode == 0
    assert gzip.decompress((tmp_path / "x.jsonl.gz").read_bytes()) == (tmp_path / "y.jsonl").read_bytes()
    checked = bench("results", "check", "x.jsonl.gz")
    assert checked.returncode == 1  # the fake worker makes its figures up
    assert "[not-the-models-parameters]" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("submit", "--results", "nothing", "--out", "x"), "there is no run"),
        (("submit",), "--out FILE"),
        (("submit", "--out", "x", "--name", "a" * 81), "--name"),
    ],
)
def test_bad_input_to_submit_is_one_sentence(bench, arguments, said):
    done = bench(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_rules_are_listed(here):
    done = here("results", "rules", "--json")
    assert done.exit_code == 0
    rules = json.loads(done.stdout)
    assert rules["above-peak"] == "No model does more operations a second than its device can."
    assert len(rules) > 40


def test_what_a_file_says_cannot_move_the_terminal(here, tmp_path):
    draft = read(COUNTS)
    for job in draft.jobs():
        job["subject"] = "\x1b[2J\rvan"
    path = tmp_path / "x.jsonl"
    path.write_bytes(draft.seal())
    done = here("results", "check", path)
    assert done.exit_code == 1
    assert "\x1b[2J" not in done.stdout
    assert "\r" not in done.stdout


def test_reading_a_pipe_works(environment, counts):
    command = f"{json.dumps(str(Path(subprocess.sys.executable)))} -m bench results check /dev/stdin < {counts}"
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
