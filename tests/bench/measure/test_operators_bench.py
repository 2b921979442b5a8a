"""Timing operators: what is red is not timed, and every figure comes with its spread, its ratio and its roofline."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine import peaks
from claimbench.bench.machine.peaks import Peaks
from claimbench.bench.measure.operators import bench as kernel_bench
from claimbench.bench.measure.operators import check as kernel_check
from claimbench.bench.measure.operators import timer as kernel_timer
from claimbench.bench.measure.operators.bench import bench_all, in_fresh_process
from claimbench.bench.measure.operators.bench_rows import BenchRow, measured
from claimbench.bench.measure.operators.timer import Question, answer
from claimbench.kernels import find_operator
from claimbench.kernels.cases import Case

OPERATOR = "depthwise_conv2d"


def _arguments(generator: torch.Generator) -> tuple[Any, ...]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return draw(2, 4, 6, 7).to(memory_format=torch.channels_last), draw(4, 1, 3, 3), draw(4), 1


def reference(args: Any) -> Tensor:
    return find_operator(OPERATOR).reference(args)


def backend_from(forward: Any) -> ModuleType:
    module = ModuleType("made_up")
    module.forward = forward
    module.backward = lambda grad, saved, args, needs: find_operator(OPERATOR)._reference_backward(grad, args, needs)
    module.refuses = lambda args: None
    return module


@pytest.fixture
def native(monkeypatch):
    """Make everything small: one tiny case, ceilings that are known, no compiler; return how to set the backend."""
    for module in (kernel_bench, kernel_check, kernel_timer):
        monkeypatch.setattr(module, "load_cases", lambda name, kind: (Case("tiny", _arguments),))
    monkeypatch.setattr(kernel_timer, "measure_peaks", lambda device, dtype: Peaks(1e9, 1e9, "made up"))
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(kernel_timer, "_SAMPLE_SECONDS", 1e-5)

    def put(forward: Any) -> None:
        monkeypatch.setitem(find_operator(OPERATOR)._loaded, "native", backend_from(forward))

    return put


def run(**options: Any) -> dict[tuple[str, str], BenchRow]:
    asked: list[Question] = []

    def ask(question: Question) -> dict[str, Any]:
        asked.append(question)
        return json.loads(json.dumps(answer(question)))

    rows = bench_all([OPERATOR], ["native"], seconds=0.0, **{"processes": 2, "ask": ask, **options})
    return {(row.implementation, row.direction): row for row in rows}


def test_a_red_backend_is_not_timed_and_says_why(native):
    called = []

    def wrong(args: Any) -> Tensor:
        called.append(args[0].shape)
        return reference(args) * 1.01

    native(wrong)
    rows = run()
    row = rows["native", "forward"]
    assert row.status == "failed"
    assert row.seconds is None
    assert "check is red" in row.reason
    assert len(called) == 1
    assert rows["reference", "forward"].status == "measured"


def test_a_backend_that_is_wrong_only_on_the_timed_problem_is_not_timed(native, monkeypatch):
    monkeypatch.setattr(kernel_timer, "_check", lambda question: {"errors": {}, "refused": {}})
    native(lambda args: reference(args) * 1.01)
    row = run()["native", "forward"]
    assert row.status == "failed"
    assert "differs on this very problem: output" in row.reason


def test_rows_carry_times_ratios_memory_and_roofline(native):
    native(reference)
    rows = run()
    assert {name for name, _ in rows} == {"reference", "compiled", "reference nchw", "native"}
    row = rows["native", "forward+backward"]
    assert row.status == "measured"
    assert len(row.samples) == 2
    assert all(len(samples) >= 3 for samples in row.samples)
    assert row.low <= row.seconds <= row.high
    forward, both = 2 * 2 * 4 * 6 * 7 * 9, 3 * 2 * 2 * 4 * 6 * 7 * 9
    assert (rows["native", "forward"].flops, row.flops) == (forward, both)
    assert row.attainable == max(row.flops, row.moved) / 1e9
    assert row.ceiling == Peaks(1e9, 1e9, "made up")
    assert row.roofline_fraction == pytest.approx(row.attainable / row.seconds)
    assert {against.baseline for against in row.against} == {"reference", "compiled", "reference nchw"}
    assert row.speedup is not None
    assert row.speedup.baseline == row.strongest
    assert row.memory is not None or row.memory_reason
    assert json.loads(json.dumps(row.to_json()))["flops_per_second"] > 0


def test_a_backend_that_cannot_run_here_is_unavailable_and_the_others_are_timed(native, monkeypatch):
    monkeypatch.setitem(find_operator(OPERATOR)._loaded, "native", "no compiler was found")
    rows = run(backward=False)
    assert (rows["native", "forward"].status, rows["native", "forward"].reason) == (
        "unavailable",
        "no compiler was found",
    )
    assert rows["reference", "forward"].status == "measured"


def test_ceilings_that_could_not_be_measured_are_explained(native):
    native(reference)
    rows = run(backward=False, ask=lambda q: {"error": "no memory"} if q.task == "peaks" else answer(q))
    row = rows["native", "forward"]
    assert (row.ceiling, row.ceiling_reason, row.roofline_fraction) == (None, "no memory", None)
    assert row.seconds is not None


def test_one_process_never_gives_a_verdict_beyond_ambiguous(native):
    native(reference)
    row = run(processes=1, backward=False)["native", "forward"]
    assert {against.verdict for against in row.against} == {"ambiguous"}


def test_ratios_pair_neighbouring_samples_so_that_a_drift_of_the_machine_cancels():
    drift = [1.0 + 0.1 * i for i in range(20)]
    rounds = {"reference": [[2 * d for d in drift]] * 2, "native": [drift] * 2}
    row = measured(BenchRow("o", "c", "float32", "cpu", 1, "forward", "native"), rounds)
    (against,) = row.against
    assert (against.ratio, against.verdict) == (pytest.approx(2), "faster")


def test_processes_that_disagree_leave_the_verdict_open():
    rounds = {"reference": [[1.0] * 8, [1.0] * 8], "native": [[0.8] * 8, [1.2] * 8]}
    row = measured(BenchRow("o", "c", "float32", "cpu", 1, "forward", "native"), rounds)
    assert row.against[0].verdict == "ambiguous"


def test_memory_counts_what_a_call_holds_at_its_peak():
    megabytes = 24

    def hungry(*values: Any) -> Tensor:
        held = torch.ones(megabytes * 2**18)
        return find_operator(OPERATOR).inline(*values) + 0 * held[0]

    growth = kernel_timer._resident_growth(lambda: [hungry(*Case("tiny", _arguments).arguments(torch.float32, "cpu"))])
    if growth is None:
        pytest.skip("this system keeps no peak that can be reset")
    assert 0.95 * megabytes * 2**20 < growth < 1.5 * megabytes * 2**20


def test_a_process_that_dies_leaves_a_reason_in_every_row_it_was_to_fill(native):
    native(reference)
    rows = run(ask=lambda question: {"error": "killed by signal 9"} if question.task == "time" else answer(question))
    assert {row.status for row in rows.values()} == {"failed"}
    assert {row.reason for row in rows.values()} == {"killed by signal 9"}


def test_a_fresh_process_that_is_killed_says_so(monkeypatch):
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    start = kernel_bench.subprocess.run
    monkeypatch.setattr(
        kernel_bench.subprocess, "run", lambda command, **rest: start([sys.executable, "-c", suicide], **rest)
    )
    assert "signal 9" in in_fresh_process(Question("peaks", OPERATOR, "", "float32"))["error"]


def test_a_fresh_process_answers():
    found = in_fresh_process(Question("check", "neighborhood_aggregate", "", "float32", implementations=("reference",)))
    assert found == {"errors": {}, "refused": {}}


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="unknown kernel backend"):
        bench_all([OPERATOR], ["cuda"])


def test_peaks_bound_a_kernel_by_its_slower_side():
    ceiling = Peaks(100.0, 10.0, "")
    assert (ceiling.attainable_seconds(1000, 10), ceiling.bound(1000, 10)) == (10.0, "compute")
    assert (ceiling.attainable_seconds(10, 1000), ceiling.bound(10, 1000)) == (100.0, "memory")
    found = peaks.measure_peaks("cpu", torch.float32, side=64, megabytes=1)
    assert found.flops > 1e8
    assert found.bytes > 1e7
