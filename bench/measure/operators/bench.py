"""Times operators against their plain PyTorch form, torch.compile of it and the roofline: ``bench kernels bench``.

Every problem is timed in several fresh processes. In each, all implementations take turns in random order on the same
tensors, so that a ratio compares neighbours in time: on a shared machine only such ratios mean anything. A backend
that is not green in a check is not timed, and the row says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

from claimbench.bench.machine.peaks import Peaks
from claimbench.bench.measure.operators.bench_rows import BenchRow, Pass, measured
from claimbench.bench.measure.operators.check import CHECKED, DTYPES, load_cases, names
from claimbench.bench.measure.operators.timer import Question, layouts, shaped
from claimbench.kernels import find_operator, operator_names

Ask = Callable[[Question], dict[str, Any]]

_TIMEOUT_SECONDS = 1800


def in_fresh_process(question: Question) -> dict[str, Any]:
    """Answer a question in a process of its own; if that dies, the answer is ``{"error": why}``."""
    environment = {**os.environ}
    environment.pop("BENCH_KERNELS", None)
    environment.pop("TRITON_INTERPRET", None)
    if question.threads is not None:
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(question.threads)
    command = [sys.executable, "-m", "claimbench.bench.measure.operators.timer"]
    body = json.dumps(asdict(question))
    try:
        done = subprocess.run(
            command, input=body, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer after {_TIMEOUT_SECONDS} s"}
    if done.returncode == 0:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    last = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode < 0:
        last = f"killed by signal {-done.returncode}, perhaps for want of memory"
    return {"error": f"the process died ({last or f'exit status {done.returncode}'})"}


def bench_all(
    operators: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    dtypes: Sequence[str] = ("float32",),
    device: str = "cpu",
    threads: int | None = None,
    *,
    backward: bool = True,
    processes: int = 3,
    seconds: float = 5.0,
    on_row: Callable[[BenchRow], None] | None = None,
    ask: Ask = in_fresh_process,
) -> list[BenchRow]:
    """Time operators on their ``BENCH`` cases.

    Args:
        operators: names; None for all of them.
        backends: names of those to time beside the baselines; None for all.
        dtypes: ``float64``, ``float32``, ``float16`` or ``bfloat16``.
        device: ``cpu`` or a CUDA device.
        threads: of a CPU; None leaves torch's own choice.
        backward: whether to time the forward pass with the backward pass too, not only the forward pass.
        processes: the number of fresh processes for each problem; with one, verdicts are ambiguous.
        seconds: time for samples in each process and problem, beyond the smallest number of samples.
        on_row: called with each row as soon as it is known.
        ask: answers a question; tests answer in their own process.

    Raises:
        UserError: a name does not exist.
    """
    bench = _Bench(device, threads, processes, seconds, ask)
    directions: tuple[Pass, ...] = ("forward", "forward+backward") if backward else ("forward",)
    wanted = names("kernel backend", backends, CHECKED)
    rows = []
    for dtype in names("dtype", dtypes, tuple(DTYPES)):
        ceiling = bench.ceiling(dtype)
        for name in names("operator", operators, operator_names()):
            for row in bench.operator(name, wanted, dtype, directions, ceiling):
                rows.append(row)
                if on_row is not None:
                    on_row(row)
    return rows


@dataclass
class _Bench:
    """The values that all problems of one run share."""

    device: str
    threads: int | None
    processes: int
    seconds: float
    ask: Ask

    def ceiling(self, dtype: str) -> Peaks | str:
        """Return the machine's ceilings, or the reason that they could not be measured."""
        found = self.ask(Question("peaks", "", "", dtype, self.device, self.threads))
        return str(found["error"]) if "error" in found else Peaks(**found)

    def operator(
        self, name: str, wanted: Sequence[str], dtype: str, directions: Sequence[Pass], ceiling: Peaks | str
    ) -> Iterator[BenchRow]:
        """Yield the rows of one operator in one dtype."""
        common = Question("check", name, "", dtype, self.device, self.threads)
        red: dict[str, str] = {}
        refused: dict[str, str] = {}
        for backend in wanted:
            checked = self.ask(replace(common, implementations=(backend,)))
            red.update(_errors(checked, (backend,)))
            refused.update(checked.get("refused", {}))
        for case in load_cases(name, "BENCH"):
            for direction in directions:
                question = replace(common, case=case.name, backward=direction != "forward")
                args = shaped(question)
                blank = self._blank(question, args, ceiling)
                for backend in wanted:
                    if backend in refused:
                        yield replace(blank, implementation=backend, status="unavailable", reason=refused[backend])
                able = (backend for backend in wanted if backend not in refused)
                yield from self.problem(question, blank, ("reference", "compiled", *layouts(args[0]), *able), red)

    def problem(
        self, question: Question, blank: BenchRow, asked: Sequence[str], red: dict[str, str]
    ) -> Iterator[BenchRow]:
        """Yield the rows of one problem, baselines first."""
        failed = dict(red)
        memory = self._memory(question, asked, failed)
        rounds = self._times(question, tuple(memory), failed)
        for name in asked:
            if name in failed:
                yield replace(blank, implementation=name, status="failed", reason=failed[name])
            else:
                grown = memory[name]
                row = replace(blank, implementation=name, memory=grown["bytes"], memory_reason=grown["reason"])
                yield measured(row, rounds)

    def _memory(self, question: Question, asked: Sequence[str], failed: dict[str, str]) -> dict[str, dict[str, Any]]:
        """Run each implementation alone, so that one that dies for want of memory takes no other with it."""
        memory = {}
        for name in asked:
            if name not in failed:
                found = self.ask(replace(question, task="memory", implementations=(name,)))
                if "error" in found:
                    failed[name] = found["error"]
                else:
                    memory[name] = found
        return memory

    def _times(
        self, question: Question, timed: tuple[str, ...], failed: dict[str, str]
    ) -> dict[str, list[list[float]]]:
        rounds: dict[str, list[list[float]]] = {name: [] for name in timed}
        for seed in range(self.processes):
            asked = replace(question, task="time", implementations=timed, seed=seed, seconds=self.seconds)
            found = self.ask(asked)
            failed.update(_errors(found, timed))
            for name, samples in found.get("samples", {}).items():
                rounds[name].append(samples)
        return {name: taken for name, taken in rounds.items() if name not in failed}

    def _blank(self, question: Question, args: tuple[Any, ...], ceiling: Peaks | str) -> BenchRow:
        """Return a row with the facts known before any timing: the problem and its roofline."""
        cost = import_module(f"claimbench.kernels.{question.operator}.cost")
        arguments = find_operator(question.operator).arguments(*args)
        flops, moved = cost.forward_flops(arguments), cost.forward_bytes(arguments)
        if question.backward:
            flops += cost.backward_flops(arguments)
            moved += cost.backward_bytes(arguments)
        row = BenchRow(
            question.operator,
            question.case,
            question.dtype,
            question.device,
            question.threads,
            "forward+backward" if question.backward else "forward",
            implementation="",
            flops=flops,
            moved=moved,
            method=f"in turns, {self.processes} processes, {'events, L2 emptied' if _gpu(question) else 'caches warm'}",
        )
        if isinstance(ceiling, str):
            return replace(row, ceiling_reason=ceiling)
        return replace(
            row,
            ceiling=ceiling,
            attainable=ceiling.attainable_seconds(flops, moved),
            bound=ceiling.bound(flops, moved),
        )


def _errors(found: dict[str, Any], asked: Sequence[str]) -> dict[str, str]:
    """Return the error of each implementation; if the process died, the same for all of them."""
    errors: dict[str, str] = dict.fromkeys(asked, found["error"]) if "error" in found else found["errors"]
    return errors


def _gpu(question: Question) -> bool:
    return question.device.startswith("cuda")
