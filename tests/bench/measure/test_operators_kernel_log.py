"""Timings of operators are kept with their evidence, and the newest of each make the table."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.measure.operators.bench_rows import Against, BenchRow
from claimbench.bench.measure.operators.kernel_log import KernelLog, newest
from claimbench.bench.report import operators

ROW = BenchRow(
    "context_mix",
    "8x8 | tiny",
    "float32",
    "cpu",
    2,
    "forward",
    "native",
    seconds=0.002,
    samples=((0.002, 0.0021),),
    memory=3 * 2**20,
    against=(Against("reference", 4.0, 3.9, 4.1, "faster", "x"), Against("compiled", 1.5, 1.4, 1.6, "faster", "x")),
    strongest="compiled",
)


@pytest.fixture
def log(tmp_path):
    return KernelLog.begin(tmp_path, "cpu")


def test_rows_keep_their_samples_their_environment_and_their_commit(log, tmp_path):
    log.add(ROW)
    (line,) = (tmp_path / "kernels" / f"{log.device}.jsonl").read_text().splitlines()
    stored = json.loads(line)
    assert stored["samples"] == [[0.002, 0.0021]]
    assert (tmp_path / "environments" / f"{stored['environment']}.json").exists()
    assert {"commit", "time"} <= stored.keys()


def test_the_newest_row_of_each_problem_and_implementation_counts(log, tmp_path):
    log.add(replace(ROW, seconds=0.009))
    log.add(ROW)
    log.add(replace(ROW, implementation="reference", seconds=0.008, against=()))
    rows = newest(tmp_path, log.device)
    assert [(row["implementation"], row["seconds"]) for row in rows] == [("native", 0.002), ("reference", 0.008)]


def test_a_damaged_line_costs_that_line_only(log, tmp_path):
    path = tmp_path / "kernels" / f"{log.device}.jsonl"
    log.add(ROW)
    path.write_bytes(b'[1]\n{"operator": "x"}\n' + b"no json\n" + path.read_bytes() + b'{"torn')
    assert len(newest(tmp_path, log.device)) == 1


def test_the_page_quotes_the_strongest_baseline_and_says_why_a_row_has_no_time(log, tmp_path):
    log.add(ROW)
    log.add(replace(ROW, implementation="triton", seconds=None, status="unavailable", reason="needs a GPU"))
    log.add(replace(ROW, case="unseen", implementation="compiled", against=()))
    page = operators.page(tmp_path, log.device)
    (native,) = [line for line in page.splitlines() if "| native" in line]
    assert "2 ms" in native
    assert "3.0 MiB" in native
    assert "1.50x, faster" in native
    assert r"8x8 \| tiny, float32" in native, "a bar inside a cell is escaped"
    assert "unavailable: needs a GPU" in page
    assert "unseen" not in page, "baselines stand in the rows of what is compared with them"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        KernelLog.begin(tmp_path / "results", "cpu")
