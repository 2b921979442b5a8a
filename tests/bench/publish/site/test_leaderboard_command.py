"""``bench leaderboard`` from the shell."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.bench.publish.site.site_examples import demo_source


@pytest.fixture
def results(tmp_path):
    demo_source(tmp_path / "results")
    return tmp_path / "results"


def test_build_says_what_to_open(bench, results, tmp_path):
    done = bench("leaderboard", "build", "--out", "site")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ pages from 50 records: open site/index.html", done.stdout)
    assert (tmp_path / "site" / "papers" / "fake.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("build", "--out", "site", "--results", "nowhere"), "there is no folder nowhere"),
        (("build", "--out", "results"), "holds files that are not a leaderboard's"),
        (("publish", "--to", "a", "--archive", "b.zip"), "choose one"),
        (("publish", "--archive", "b.rar"), "must end in"),
        (("publish",), "is not in a Git repository"),
    ],
)
def test_bad_input_is_one_sentence(bench, results, arguments, says):
    done = bench("leaderboard", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert says in line


def test_a_taken_port_is_one_sentence(bench, results):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = bench("leaderboard", "serve", "--port", port)
    assert done.returncode == 2
    assert f"port {port} is taken: choose another with --port" in done.stderr


def test_serve_shows_the_site_until_interrupted(results, tmp_path, environment):
    command = [sys.executable, "-m", "claimbench.bench", "leaderboard", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}papers/demo.html", timeout=30) as answer:
            assert b"demo" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
