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
        "[1 of 2] tiny flops",
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


def test_a_log_has_a_line_when_the_first_part_begins_and_then_twice_a_minute(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with shown() as listener, listener.begin("all jobs", 40) as whole:
        whole.expect(400)
        for number in range(4):
            with whole.begin(f"job {number}") as part:
                for second in range(25):
                    now[0] += 1
                    part.at(second, None, f"job {number}, {second} samples")
                    whole.expect(400 - 25 * number - second)
            whole.at(number + 1)
    err = capsys.readouterr().err
    assert err.splitlines() == [
        "[0 of 40, about 7 min left] job 0",
        "[1 of 40, about 6 min left] job 1, 4 samples",
        "[2 of 40, about 6 min left] job 2, 9 samples",
        "[3 of 40, about 5 min left] job 3, 14 samples",
    ]
    assert "\x1b" not in err
    assert "\r" not in err


def test_without_an_expectation_the_pace_so_far_tells_the_time_left(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with shown() as listener:
        with listener.begin("training", 20, done=10) as part:
            now[0] += 40
            part.at(12)
        with listener.begin("paper/a", unit="B") as part:
            now[0] += 40
            part.at(2_000_000, 4_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "[12 of 20, about 3 min left] training",
        "[2.0 of 4.0 MB, about 40 s left] paper/a",
    ]


def test_bars_show_the_time_left_that_was_told(capsys, terminal):
    with shown() as listener, listener.begin("all jobs", 2) as whole:
        whole.expect(600)
        time.sleep(WAIT_S)
    assert "about 10 min left" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)


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
