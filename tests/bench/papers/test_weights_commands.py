"""``bench weights`` as a user types it, against a server that is on this machine."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import pytest

from claimbench.bench.papers.weights import lock
from tests.bench import served_paper
from tests.bench.cli.test_bad_input import refused
from tests.bench.file_server import running
from tests.bench.served_paper import saved, state

GOOD = saved({"state_dict": state()})
BIG = saved({**state(), "more": __import__("torch").zeros(3_000_000)})


@pytest.fixture
def server():
    with running() as server:
        yield server


@pytest.fixture
def publish(tmp_path, environment):
    """Write the paper ``served`` with these checkpoints; the command line finds it and keeps its cache in a folder."""
    environment["BENCH_PAPERS"] = str(tmp_path / "papers")
    environment["BENCH_WEIGHTS"] = str(tmp_path / "cache")
    environment.pop("HF_HUB_OFFLINE", None)
    return lambda **checkpoints: served_paper.write(tmp_path / "papers", checkpoints)


def start(tmp_path, environment, *arguments):
    command = [sys.executable, "-m", "claimbench.bench", "weights", *arguments]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_fetch_list_check(bench, publish, server, tmp_path):
    server.serve("a.pth", GOOD)
    folder = publish(
        a={"url": f"{server.url}/a.pth"}, b={"url": "https://pan.baidu.com/s/1", "note": "password x"}, c=None
    )
    listed = json.loads(bench("weights", "list", "--paper", "served", "--json").stdout)
    assert [row["status"] for row in listed["weights"]] == ["not here", "by hand", "none published"]
    done = bench("weights", "fetch", "--paper", "served")
    assert done.returncode == 1  # b needs a person
    assert f"{tmp_path / 'cache' / 'served' / 'a.pth'}" in done.stdout
    assert "https://pan.baidu.com/s/1 (password x) and save it as" in done.stderr
    assert "1 of 2 files are in" in done.stdout
    assert (folder / lock.FILE).exists()
    again = json.loads(bench("weights", "fetch", "--paper", "served", "--variant", "a", "--json").stdout)
    assert [row["news"] for row in again["weights"]] == ["verified"]
    assert again["weights"][0]["sha256"] == hashlib.sha256(GOOD).hexdigest()
    shown = bench("weights", "list", "--paper", "served").stdout
    assert "1 of 2 files are in" in shown
    assert hashlib.sha256(GOOD).hexdigest()[:12] in shown
    checked = bench("weights", "check", "--paper", "served")
    assert checked.returncode == 0
    assert "fits          served/a" in checked.stdout
    assert "not here: served/b" in checked.stdout
    assert "none published: served/c" in checked.stdout


def test_check_names_what_does_not_fit(bench, publish, server):
    server.serve("a.pth", saved({"conv.weight": state()["conv.weight"], "fc.weight": state()["head.weight"]}))
    publish(a={"url": f"{server.url}/a.pth"})
    assert bench("weights", "fetch", "--paper", "served").returncode == 0
    done = bench("weights", "check", "--paper", "served", "--json")
    assert done.returncode == 1
    [row] = json.loads(done.stdout)["weights"]
    assert row["status"] == "FAILED"
    assert "does not fit a: missing or misshapen: head.weight" in row["reason"]


@pytest.mark.parametrize("command", ["list", "fetch", "check"])
def test_names_that_do_not_exist(bench, publish, command):
    publish(a=None)
    refused(bench("weights", command, "--paper", "servd"), "unknown paper 'servd'; did you mean served")
    refused(bench("weights", command, "--paper", "served", "--variant", "x"), "unknown variant 'x'")


def test_nothing_to_fetch_is_said(bench, publish):
    publish(a=None)
    refused(bench("weights", "fetch", "--paper", "served"), "no official weights of served/a are published")


def test_a_cache_that_cannot_be_written_is_said(bench, publish, server, tmp_path):
    server.serve("a.pth", GOOD)
    publish(a={"url": f"{server.url}/a.pth"})
    (tmp_path / "file").touch()
    done = bench("weights", "fetch", "--paper", "served", "--cache", tmp_path / "file")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "choose another folder with --cache or BENCH_WEIGHTS" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_processes_fetch_a_file_once(publish, server, tmp_path, environment):
    file = server.serve("a.pth", BIG, script=[("stall", len(BIG) - 1000, 1.5)])
    publish(a={"url": f"{server.url}/a.pth"})
    both = [start(tmp_path, environment, "fetch", "--paper", "served", "--timeout", "1") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert (tmp_path / "cache" / "served" / "a.pth").read_bytes() == BIG
    assert [asked.get("Range") for asked in file.asked] == [None, f"bytes={len(BIG) - 1000}-"]
    assert sum("waiting for another process" in err for _, err in said) == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_fetch_that_was_cut_off_goes_on(publish, server, tmp_path, environment, bench, how):
    file = server.serve("a.pth", BIG, script=[("stall", 5_000_000, 60)])
    publish(a={"url": f"{server.url}/a.pth"})
    process = start(tmp_path, environment, "fetch", "--paper", "served")
    part = tmp_path / "cache" / "served" / "a.pth.part"
    until(lambda: part.exists() and part.stat().st_size > 4_000_000)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.endswith("bench: interrupted: the next fetch of served/a goes on after 5.0 MB\n")
    done = bench("weights", "fetch", "--paper", "served")
    assert done.returncode == 0, done.stderr
    assert int(file.asked[1]["Range"].removeprefix("bytes=").rstrip("-")) > 4_000_000
    assert (tmp_path / "cache" / "served" / "a.pth").read_bytes() == BIG


def test_offline_is_one_sentence(bench, publish):
    publish(a={"url": "https://weights.invalid/a.pth"})
    for done in (
        bench("weights", "fetch", "--paper", "served", "--offline"),
        bench("weights", "fetch", "--paper", "served", HF_HUB_OFFLINE="1"),
    ):
        assert done.returncode == 1
        assert "forbids the network: download https://weights.invalid/a.pth and save it as" in done.stderr
