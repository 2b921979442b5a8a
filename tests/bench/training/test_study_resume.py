"""A study that is killed or interrupted at any moment loses an epoch at most, and ends with the same numbers."""

import random
import signal
import time

from claimbench.bench.store.store import Store
from tests.bench.study_runs import SMALL, checkpoints, records, start, wait_for


def test_killed_again_and_again_it_ends_with_the_numbers_of_an_undisturbed_one(tmp_path, environment):
    chance = random.Random(0)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    process = start(undisturbed, environment, *SMALL, "--seeds", "1")
    assert process.communicate(timeout=400) is not None
    assert process.returncode == 0
    arguments = (*SMALL, "--seeds", "1")
    for _ in range(2):  # the run itself, and one that goes on
        seen = checkpoints(killed)
        process = start(killed, environment | {"FAKE_STUDY": "slow:0.01"}, *arguments)
        wait_for(lambda before=seen: checkpoints(killed) - before, process)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
        arguments = ("study", "--resume", "latest")
    process = start(killed, environment, *arguments)
    _, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert records(killed) == records(undisturbed)
    assert set(records(killed)) == {("block", 0), ("counterpart", 0)}
    assert Store(killed / "results/studies").problems == []


def test_interrupted_it_reports_the_seeds_that_are_done_and_says_how_to_go_on(tmp_path, environment):
    process = start(tmp_path, environment | {"FAKE_STUDY": "slow:0.003"}, *SMALL, "--seeds", "4,9")
    wait_for(lambda: len(records(tmp_path)) >= 2, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "of 4 trainings left; go on with: bench study --resume" in err
    assert "block ahead in" in out
    assert "Traceback" not in err
    resumed = start(tmp_path, environment, "study", "--resume", "latest")
    out, err = resumed.communicate(timeout=400)
    assert resumed.returncode == 0, err
    assert {seed for _, seed in records(tmp_path)} == {4, 9}
    assert "block ahead in" in out
