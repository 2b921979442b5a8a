"""``bench nightly`` rehearsed on a small plan: killed in the middle, started again, compared, reported."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from bench.store import Store

PLAN = ("nightly", "--paper", "fake", "--variant", "fake_s", "fake_m", "--baseline", "none")
QUICK = ("--metrics", "params,flops,latency")


def start(tmp_path, environment, *arguments, **changes):
    command = [sys.executable, "-m", "tests.bench.fast_bench", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment | changes, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def nights(tmp_path):
    return [json.loads(file.read_text()) for file in sorted((tmp_path / "results/nights").glob("*/*.json"))]


def pages(tmp_path):
    return [file.read_text() for file in sorted((tmp_path / "results/nights").glob("*/*.md"))]


def wait_for_records(tmp_path, count=1, timeout=60):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        lines = [line for f in (tmp_path / "results").glob("records/*/*.jsonl") for line in f.read_bytes().splitlines()]
        if len(lines) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("nothing was measured")


def check_whole(tmp_path, night):
    """Every job of the night's plan is stored, and nothing twice."""
    results = tmp_path / "results"
    store = Store(results)
    planned = json.loads((results / f"runs/{night}.json").read_text())["jobs"]
    records = store.query(run=night)
    assert store.problems == []
    rows = [(record.key, record.measurement.metric) for record in records]
    assert len(rows) == len(set(rows)), "something is stored twice"
    assert {record.key for record in records} == store.done_keys(night)
    assert len(store.done_keys(night)) == len(planned)


def test_a_night_that_is_killed_goes_on_and_holds_nothing_twice(tmp_path, environment):
    for kill in range(3):
        process = start(tmp_path, environment, *PLAN, *QUICK, FAKE_DELAY="0.3")
        wait_for_records(tmp_path, 4 * kill + 1)
        process.kill()
        process.communicate()
        [night] = nights(tmp_path)
        assert night["status"] == "running"
    process = start(tmp_path, environment, *PLAN, *QUICK)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert f"going on with night {night['night']}" in err
    assert "the first good night" in out
    [night] = nights(tmp_path)
    assert night["status"] == "good"
    check_whole(tmp_path, night["night"])
    [page] = pages(tmp_path)
    assert page.startswith(f"# Night {night['night']}")
    assert "## Run" in page
    assert not any((tmp_path / "results").rglob(".*.json.*")), "scratch files are left"


def test_interrupting_ends_with_130_and_the_same_command_goes_on(tmp_path, environment):
    process = start(tmp_path, environment, *PLAN, *QUICK, FAKE_DELAY="0.3")
    wait_for_records(tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert start(tmp_path, environment, *PLAN, *QUICK).wait(120) == 0
    [night] = nights(tmp_path)
    check_whole(tmp_path, night["night"])


def slowed(tmp_path, run, metric, by):
    """Make the stored figures of a run larger, as if it had been measured so: its samples are content-addressed."""
    for file in (tmp_path / "results").glob(f"records/*/{run}.jsonl"):
        lines = []
        for line in file.read_bytes().splitlines():
            data = orjson.loads(line)
            if data["measurement"]["metric"] == metric:
                data["measurement"]["value"] *= by
                data["samples_key"] = ""
            lines.append(orjson.dumps(data))
        file.write_bytes(b"\n".join(lines) + b"\n")


@pytest.fixture
def two_nights(tmp_path, environment):
    """A good night, and a second one that is cut off just before its end, so that its records can be changed."""
    first = start(tmp_path, environment, *PLAN, "--metrics", "params,flops")
    _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    second = start(tmp_path, environment, *PLAN, "--metrics", "params,flops", FAKE_DELAY="0.4")
    wait_for_records(tmp_path, 30)
    second.kill()
    second.communicate()
    return nights(tmp_path)


def finish(tmp_path, environment, *arguments, **changes):
    process = start(tmp_path, environment, *PLAN, "--metrics", "params,flops", *arguments, **changes)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_second_night_is_compared_with_the_last_good_one(tmp_path, environment, two_nights):
    status, out, err = finish(tmp_path, environment)
    assert status == 0, err
    assert "no regression in" in out
    first, second = nights(tmp_path)
    assert second["baseline"] == [first["night"]]
    assert second["status"] == "good"


def fake_gh(folder: Path):
    """A ``gh`` that keeps issues in a file."""
    folder.mkdir()
    script = folder / "gh"
    script.write_text(f"""#!{sys.executable}
import json, pathlib, sys
file = pathlib.Path({str(folder / "issues.json")!r})
issues = json.loads(file.read_text()) if file.exists() else []
words = sys.argv[1:]
value = lambda name: words[words.index(name) + 1]
if words[:2] == ["issue", "list"]:
    print(json.dumps([i for i in issues if i["state"] == "open"]))
elif words[:2] == ["issue", "create"]:
    body = pathlib.Path(value("--body-file")).read_text()
    issues.append({{"number": len(issues) + 7, "state": "open", "title": value("--title"), "body": body, "edits": 0}})
    print("https://example.org/issues/7")
else:
    [found] = [i for i in issues if i["number"] == int(words[2])]
    if words[1] == "close":
        found["state"] = "closed"
    else:
        found["body"] = pathlib.Path(value("--body-file")).read_text()
        found["edits"] += 1
file.write_text(json.dumps(issues))
""")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return lambda: json.loads((folder / "issues.json").read_text())


def test_a_regression_ends_with_1_and_opens_one_issue_that_is_kept_up_to_date(tmp_path, environment, two_nights):
    issues = fake_gh(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}{os.pathsep}{environment['PATH']}"
    slowed(tmp_path, two_nights[1]["night"], "flops", 2)
    summary = tmp_path / "step.md"
    status, out, err = finish(tmp_path, environment, "--issue", PATH=path, GITHUB_STEP_SUMMARY=str(summary))
    assert status == 1, err
    assert "changed" in out
    bad = nights(tmp_path)[1]
    assert bad["status"] == "bad"
    assert bad["regressions"]
    assert "### Regressions" in pages(tmp_path)[1] == summary.read_text()
    [issue] = issues()
    assert "<!-- claimbench nightly" in issue["body"]
    assert "### Regressions" in issue["body"]
    # The next night is as bad: the same issue.
    finish(tmp_path, environment, FAKE_DELAY="0.0")  # a good night, as the records of it were not changed
    assert len(issues()) == 1
    status, _, err = finish(tmp_path, environment, "--issue", PATH=path)
    assert status == 0, err
    [issue] = issues()
    assert issue["state"] == "closed"


def test_an_issue_that_is_open_is_edited_and_no_second_one_is_opened(tmp_path):
    from bench.nightly import issue
    from bench.nightly.state import Night

    issues = fake_gh(tmp_path / "bin")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{path}"
    try:
        night = Night("n1", "cpu", "", {}, "", None, [], [], regressions=["slower"])
        said = []
        assert issue.report(night, "page 1", said.append)
        assert issue.report(night, "page 2", said.append)
        other = Night("n1", "gpu", "", {}, "", None, [], [], regressions=["slower"])
        assert issue.report(other, "page 3", said.append)
    finally:
        os.environ["PATH"] = path
    assert [(found["edits"], found["body"].splitlines()[-1]) for found in issues()] == [(1, "page 2"), (0, "page 3")]
    assert [line.split()[1] for line in said] == ["opened:", "7", "opened:"]


def test_without_gh_the_night_ends_as_it_would_and_says_why_there_is_no_issue(tmp_path, environment, two_nights):
    slowed(tmp_path, two_nights[1]["night"], "flops", 2)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(shutil.which("git"))
    status, _, err = finish(tmp_path, environment, "--issue", PATH=str(tmp_path / "bin"))
    assert status == 1
    assert "`gh` is not installed" in err


def test_a_regression_stays_one_until_it_is_accepted(tmp_path, environment, two_nights):
    slowed(tmp_path, two_nights[0]["night"], "params", 2)  # the good night had twice as many
    assert finish(tmp_path, environment)[0] == 1
    assert finish(tmp_path, environment)[0] == 1
    done = start(tmp_path, environment, "nightly", "--accept")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    assert nights(tmp_path)[-1]["night"] in out
    assert finish(tmp_path, environment)[0] == 0


def test_a_budget_leaves_things_out_and_lists_them(tmp_path, environment):
    process = start(tmp_path, environment, *PLAN, *QUICK, "--budget", "90s", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    data = json.loads(out)
    assert data["exit_status"] == 0
    assert data["left"]
    assert data["run"]
    assert all("never measured here; the budget is spent" in row[4] for row in data["left"])
    assert sum(row[3] for row in data["run"]) <= 90
    assert "## Left out" in pages(tmp_path)[0]
    # The next night begins with what was left out.
    again = start(tmp_path, environment, *PLAN, *QUICK, "--budget", "90s", "--json")
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert {tuple(row[:3]) for row in data["left"]} <= {tuple(row[:3]) for row in json.loads(out)["run"]}


def test_a_night_ends_when_its_time_is_up_even_if_jobs_take_longer_than_expected(tmp_path, environment):
    started = time.monotonic()
    process = start(tmp_path, environment, *PLAN, "--budget", "5s", "--metrics", "params", FAKE_DELAY="2")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert time.monotonic() - started < 60
    [night] = nights(tmp_path)
    assert night["status"] == "good"
    assert night["left"]


def test_a_night_that_was_cut_off_is_given_up_only_when_asked_or_overtaken(tmp_path, environment):
    process = start(tmp_path, environment, *PLAN, *QUICK, FAKE_DELAY="0.5")
    wait_for_records(tmp_path)
    busy = start(tmp_path, environment, *PLAN, *QUICK)
    _, err = busy.communicate(timeout=60)
    assert busy.returncode == 2
    assert "another night is running" in err
    process.kill()
    process.communicate()
    other = start(tmp_path, environment, *PLAN, "--metrics", "params")
    _, err = other.communicate(timeout=60)
    assert other.returncode == 2
    assert "--new" in err
    fresh = start(tmp_path, environment, *PLAN, "--metrics", "params", "--new")
    _, err = fresh.communicate(timeout=60)
    assert fresh.returncode == 0, err
    assert [night["status"] for night in nights(tmp_path)] == ["abandoned", "good"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nightly", "--budget", "soon"), "budget 'soon' is not a duration"),
        (("nightly", "--paper", "none-such"), "unknown paper 'none-such'"),
        (("nightly", "--accept"), "there is no finished night"),
        (("nightly", "--results", "file"), "file"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(bench, tmp_path, arguments, said):
    (tmp_path / "file").write_text("")
    done = bench(*arguments, fast=True)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results/runs").exists()


def test_a_damaged_night_is_an_error_that_names_its_file(tmp_path, environment, bench):
    assert start(tmp_path, environment, *PLAN, "--metrics", "params").wait(120) == 0
    [file] = (tmp_path / "results/nights").glob("*/*.json")
    file.write_text("{")
    done = bench(*PLAN, "--metrics", "params", fast=True)
    assert done.returncode == 2
    assert file.name in done.stderr
