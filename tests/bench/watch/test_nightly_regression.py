"""A night that is worse than the last good one: its exit status, its summary, its one issue."""

import json
import os
import shutil
import stat
import sys
from pathlib import Path

import orjson
import pytest

from tests.bench.listening import Heard
from tests.bench.nightly_rehearsal import PLAN, nights, pages, start, wait_for_records


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
    from claimbench.bench.store.night_files import Night
    from claimbench.bench.watch.nightly import issue

    issues = fake_gh(tmp_path / "bin")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{path}"
    try:
        night = Night("n1", "cpu", "", {}, "", None, [], [], regressions=["slower"])
        heard = Heard()
        assert issue.report(night, "page 1", heard)
        assert issue.report(night, "page 2", heard)
        other = Night("n1", "gpu", "", {}, "", None, [], [], regressions=["slower"])
        assert issue.report(other, "page 3", heard)
    finally:
        os.environ["PATH"] = path
    assert [(found["edits"], found["body"].splitlines()[-1]) for found in issues()] == [(1, "page 2"), (0, "page 3")]
    assert [line.split()[1] for line in heard.of("note")] == ["opened:", "7", "opened:"]


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
