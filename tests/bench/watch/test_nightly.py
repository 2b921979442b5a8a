"""``bench nightly`` rehearsed on a small plan: killed in the middle, started again, within its budget."""

import json
import signal
import time

import pytest

from tests.bench.nightly_rehearsal import PLAN, QUICK, check_whole, nights, pages, start, wait_for_records


def test_a_night_that_is_killed_goes_on_and_holds_nothing_twice(tmp_path, environment):
    for kill in range(2):
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
