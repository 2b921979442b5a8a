"""Progress: bars on a terminal as long as something goes on, lines of what stays elsewhere."""

import re
import time

import pytest

from claimbench.bench.cli.progress import shown
from claimbench.bench.core.listener import SILENT
from claimbench.bench.machine.process import Interrupted, Interruptible, Stop


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)


WAIT_S = 0.3
"""Bars are drawn ten times a second."""


def work(listener):
    listener.note("fetching a")
    with listener.begin("paper/a", unit="B") as part:
        part.at(2_000_000, 4_000_000)
        time.sleep(WAIT_S)
        part.note("the server answers 503: trying again in 1 s")
    with listener.begin("all jobs", 2, done=1) as whole:
        with whole.begin("tiny flops") as part:
            part.at(7, 9, "tiny flops, [pictures]")
            time.sleep(WAIT_S)
            part.failed("it [died]")
        whole.at(2, what="all jobs done")
        time.sleep(WAIT_S)
        whole.say("1 of 2: 50 %")


def test_without_a_terminal_only_results_and_remarks_are_printed(capsys):
    with shown() as listener:
        work(listener)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "bench: fetching a",
        "bench: paper/a: the server answers 503: trying again in 1 s",
        "1 of 2: 50 %",
    ]


def test_on_a_terminal_bars_come_and_go_and_lines_stay(capsys, terminal):
    with shown() as listener:
        work(listener)
    out, err = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert out == ""
    for there in ("2.0/4.0 MB", "7/9", "tiny flops, [pictures]", "1/2", "all jobs done"):
        assert there in plain
    for line in ("bench: paper/a: the server answers 503", "failed tiny flops: it [died]", "1 of 2: 50 %"):
        assert line in plain
    assert err.count("\x1b[?25l") == err.count("\x1b[?25h") == 2, "the cursor is back whenever nothing goes on"


def test_work_that_is_cut_off_leaves_no_bar(capsys, terminal):
    with shown() as listener:
        listener.begin("one", 3)
    assert capsys.readouterr().err.count("\x1b[?25h") == 1


def test_a_signal_ends_work_that_tells_how_far_it_is():
    with Stop() as stop, Interruptible(stop, SILENT).begin("checking") as part:
        part.at(1, 2)
        stop.requested = True
        with pytest.raises(Interrupted):
            part.at(2, 2)
