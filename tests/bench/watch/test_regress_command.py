"""``bench regress`` from the shell."""

import json

import pytest

from claimbench.bench.store.store import Store
from tests.bench.regress_worlds import ENVIRONMENT, times

OLD, NEW = "a1" * 20, "b2" * 20
RUNS = ("20260101T000000Z-aaaaaa", "20260102T000000Z-bbbbbb", "20260103T000000Z-cccccc")
QUIET = (0.100, 0.1004, 0.0997)


@pytest.fixture
def results(tmp_path):
    """Three runs: the second is as fast as the first, the third is slower and of another commit."""
    store = Store(tmp_path / "results")
    digest = store.add_environment(ENVIRONMENT)
    for run, by, commit in ((RUNS[0], 1, OLD), (RUNS[1], 1.001, OLD), (RUNS[2], 1.1, NEW)):
        for name in ("model_a", "model_b"):
            slow = by if name == "model_a" else 1
            rounds = [value * slow for value in QUIET]
            for found in times(name, rounds, run=run, commit=commit, environment=digest, samples=9):
                store.append(found, device="cpu-test")
    return tmp_path / "results"


def test_equal_runs_end_with_0_and_a_slowdown_with_1(bench, results):
    same = bench("regress", "--baseline", RUNS[0], "--candidate", RUNS[1])
    assert same.returncode == 0, same.stderr
    assert "no regression in 2 comparisons (2 same)" in same.stdout
    slow = bench("regress", "--baseline", RUNS[0])
    assert slow.returncode == 1, slow.stderr
    assert "model_a" in slow.stdout
    assert "slower" in slow.stdout
    assert "a1a1a1a1" in slow.stdout
    assert "b2b2b2b2" in slow.stdout


@pytest.mark.parametrize("name", [RUNS[1], "a1a1", "a1" * 20, "results/records/cpu-test/" + RUNS[1] + ".jsonl"])
def test_a_side_is_a_run_a_commit_or_a_file(bench, results, name):
    done = bench("regress", "--baseline", name, "--candidate", "latest", "--json")
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    assert data["commits"] == {"baseline": [OLD[:12]], "candidate": [NEW[:12]]}
    assert {f["subject"]: f["verdict"] for f in data["findings"]} == {"model_a": "slower", "model_b": "same"}


def test_a_side_may_be_another_folder_or_a_file_taken_out_of_it(bench, results, tmp_path):
    done = bench("regress", "--baseline", "results", "--candidate", RUNS[2])
    assert done.returncode == 0, done.stderr  # the newest records of the folder are the candidate's own
    (tmp_path / "sent.jsonl").write_bytes((results / f"records/cpu-test/{RUNS[2]}.jsonl").read_bytes())
    (tmp_path / "old.jsonl").write_bytes((results / f"records/cpu-test/{RUNS[0]}.jsonl").read_bytes())
    done = bench("regress", "--baseline", "old.jsonl", "--candidate", "sent.jsonl")
    assert done.returncode == 1, done.stderr
    assert "model_a" in done.stdout


def test_the_summary_goes_to_a_file_and_to_github(bench, results, tmp_path):
    summary = tmp_path / "step.md"
    summary.write_text("before\n")
    done = bench("regress", "--baseline", RUNS[0], "--markdown", "pr.md", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1
    page = (tmp_path / "pr.md").read_text()
    assert page.startswith("## Regressions")
    assert summary.read_text() == "before\n" + page
    printed = bench("regress", "--baseline", RUNS[0], "--markdown", "-")
    assert printed.stdout == page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what to compare with"),
        (("--baseline", "nothing"), "unknown run, commit, file or folder"),
        (("--baseline", "20260101T000000Z-aaaaab"), "did you mean 20260101T000000Z-aaaaaa"),
        (("--baseline", RUNS[0], "--across", "moon"), "unknown thing to compare across"),
        (("--baseline", RUNS[0], "--paper", "moat"), "holds nothing of moat; it holds demo"),
        (("--baseline", RUNS[0], "--markdown", "no/such/folder.md"), "cannot be written"),
        (("--baseline", RUNS[0], "--results", "elsewhere"), "no records are stored under elsewhere"),
        (("--baseline", "empty"), "no records are stored under empty"),
        (("--baseline", "garbage.jsonl"), "holds no records"),
        (("--baseline", RUNS[0], "--good", "HEAD"), "belong to --bisect"),
        (("--bisect",), "--good takes a commit"),
        (("--bisect", "--good", "HEAD"), "either --paper, or a command"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(bench, results, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "garbage.jsonl").write_bytes(b"\xff\x00 not json\n[1]\n")
    done = bench("regress", *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_damaged_lines_are_passed_over_and_named(bench, results):
    file = results / f"records/cpu-test/{RUNS[2]}.jsonl"
    file.write_bytes(b"{}\n" + file.read_bytes())
    done = bench("regress", "--baseline", RUNS[0])
    assert done.returncode == 1
    assert f"{RUNS[2]}.jsonl:1" in done.stderr
