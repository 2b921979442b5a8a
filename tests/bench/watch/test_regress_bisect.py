"""The first bad commit of a small repository with something planted in it."""

import json
import subprocess

import pytest

from claimbench.bench.watch.regress.probe import Probe, Unmeasurable

TIMED = """import random; print('{"latency": %%f}' %% (%s * random.uniform(0.998, 1.002)))"""
FAST, SLOW = TIMED % 1.0, TIMED % 1.08


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Makes a repository with one commit for each text of ``work.py``, and returns its folder and its commits."""

    def make(*texts):
        folder = tmp_path / "repository"
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
        git(folder, "config", "user.email", "a@example.org")
        git(folder, "config", "user.name", "a")
        commits = []
        for number, text in enumerate(texts):
            (folder / "work.py").write_text(f"# {number}\n{text}\n")
            git(folder, "add", "work.py")
            git(folder, "commit", "-q", "-m", f"step {number}")
            commits.append(git(folder, "rev-parse", "HEAD"))
        return folder, commits

    return make


def state(folder):
    """Everything of a user's repository that bisecting must leave as it is."""
    return [
        git(folder, *command)
        for command in (
            ("rev-parse", "HEAD"),
            ("symbolic-ref", "HEAD"),
            ("status", "--porcelain"),
            ("for-each-ref",),
            ("worktree", "list"),
            ("stash", "list"),
        )
    ] + [sorted(path.name for path in folder.iterdir()), (folder / "work.py").read_text()]


def test_a_planted_slowdown_is_named_and_the_checkout_left_alone(bench, repository):
    folder, commits = repository(FAST, FAST, FAST, "broken(", SLOW, SLOW, SLOW)
    (folder / "work.py").write_text("the user's own changes\n")
    (folder / "untracked.txt").write_text("kept\n")
    before = state(folder)
    done = bench("regress", "--bisect", "--repo", folder, "--good", commits[0], "--", "python3", "work.py")
    assert state(folder) == before
    # The commit before it does not run, so that either may be the first bad one.
    assert done.returncode == 1, done.stderr
    assert "step 3" in done.stdout
    assert "step 4" in done.stdout
    assert "skip" in done.stderr
    assert "step 2" not in done.stdout


def test_a_planted_change_of_flops_is_named_with_one_run_of_each_commit(bench, repository):
    count = """print('words'); print('{"flops": %d, "params": 7}')"""
    folder, commits = repository(*(count % (100 if number < 5 else 101) for number in range(8)))
    done = bench(
        "regress",
        "--bisect",
        "--repo",
        folder,
        "--good",
        commits[0],
        "--bad",
        "main",
        "--json",
        "--",
        "python3",
        "work.py",
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["first_bad"] == commits[5]
    assert len(data["regression"]) == 1
    assert "changed" in data["regression"][0]


def test_figures_that_the_command_prints_are_judged_by_rounds(bench, repository):
    folder, commits = repository(FAST, FAST, SLOW, SLOW, SLOW)
    done = bench("regress", "--bisect", "--repo", folder, "--good", commits[0], "--", "python3", "work.py")
    assert done.returncode == 0, done.stderr
    assert f"first bad commit: {commits[2]}" in done.stdout
    assert "step 2" in done.stdout


def test_commits_that_do_not_build_are_skipped(bench, repository):
    count = "print('{\"flops\": %d}')"
    folder, commits = repository(count % 1, count % 1, "no build", count % 2, count % 2, count % 2)
    build = "! grep -q 'no build' work.py"
    done = bench(
        "regress", "--bisect", "--repo", folder, "--good", commits[0], "--build", build, "--", "python3", "work.py"
    )
    assert done.returncode == 1, done.stderr
    assert "the build ended with status 1" in done.stderr
    assert {"step 2", "step 3"} == {line.split(" ", 3)[3] for line in done.stdout.splitlines()[1:]}


def test_records_that_the_command_stores_are_compared(bench, repository):
    store = """
import sys; sys.path[:0] = sys.argv[1:]
import os
from pathlib import Path
from tests.bench.regress_worlds import exact
from claimbench.bench.store.store import Store, new_run
Store(Path(os.environ["BENCH_RESULTS"])).append(exact("params", %d, run=new_run()), device="cpu-test")
"""
    from pathlib import Path

    folder, commits = repository(*(store % (7 if number < 3 else 8) for number in range(5)))
    done = bench(
        "regress", "--bisect", "--repo", folder, "--good", commits[0], "--", "python3", "work.py", Path(__file__).parent
    )
    assert done.returncode == 0, done.stderr
    assert f"first bad commit: {commits[3]}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--good", "nowhere"), "there is no commit 'nowhere'"),
        (("--good", "HEAD"), "are the same commit"),
        (("--good", "HEAD", "--bad", "HEAD~2"), "is not an ancestor"),
        (("--good", "HEAD~2"), "HEAD is not worse than HEAD~2"),
        (("--good", "HEAD~2", "--build", "false"), "cannot be measured: the build ended with status 1"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(bench, repository, arguments, said):
    folder, _ = repository(*["print('{\"flops\": 1}')"] * 3)
    done = bench("regress", "--bisect", "--repo", folder, *arguments, "--", "python3", "work.py")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert git(folder, "worktree", "list").count("\n") == 0


def test_a_command_that_says_nothing_is_judged_by_the_time_that_it_takes(tmp_path):
    probe = Probe("c" * 40, tmp_path, tmp_path / "scratch", ["true"], 60)
    for _ in range(3):
        probe.measure()
    records = probe.source().records
    assert [(found.measurement.metric, found.job.round) for found in records] == [("latency", n) for n in range(3)]
    assert all(found.measurement.value > 0 for found in records)
    probe.forget()
    assert probe.source().records == []
    with pytest.raises(Unmeasurable, match="not done after"):
        Probe("c" * 40, tmp_path, tmp_path / "scratch", ["sleep", "60"], 0.1).measure()


def test_a_folder_that_is_no_repository_and_a_figure_that_is_not_known(bench, repository, tmp_path):
    done = bench("regress", "--bisect", "--good", "HEAD", "--repo", tmp_path / "none", "--", "true")
    assert done.returncode == 2
    assert "not in a git repository" in done.stderr
    folder, _ = repository(*["print('{\"speed\": 1}')"] * 2)
    done = bench("regress", "--bisect", "--good", "HEAD~1", "--repo", folder, "--", "python3", "work.py")
    assert done.returncode == 2
    assert "unknown figure printed by the command 'speed'" in done.stderr
