"""The process that times one operator on one problem: a :class:`Question` as JSON on stdin, its answer on stdout.

Every implementation is called on the same tensors; ``claimbench.bench.measure.operators.bench_rows`` explains the names
of baselines.
"""

from __future__ import annotations

import gc
import json
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from claimbench.bench.core.statistics import relative_halfwidth
from claimbench.bench.machine.heap import return_freed_memory, trim
from claimbench.bench.machine.peaks import measure_peaks
from claimbench.bench.measure.operators.bench_rows import BASELINES
from claimbench.bench.measure.operators.check import DTYPES, check_operator, load_cases, sentence
from claimbench.kernels import backend as backends
from claimbench.kernels import find_operator
from claimbench.kernels.cases import Case
from claimbench.kernels.check import TOLERANCE, upstream
from claimbench.kernels.operator import Operator

Call = Callable[[], list[Tensor]]

_LAYOUTS = {"reference nchw": torch.contiguous_format, "reference nhwc": torch.channels_last}
_ROUNDS = (3, 200)
_SAMPLE_SECONDS = 2e-3
_STEADY = 0.01
_L2_FLUSH_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Question:
    """One thing to find out in a process of its own.

    Attributes:
        task: ``check`` the implementation against the float64 reference, measure its ``memory``, ``time`` all the
            implementations in turns, or the ``peaks`` of the machine.
        operator, case: the problem: an operator and the name of one of its ``BENCH`` cases.
        dtype, device, threads: that it runs with; ``threads`` None leaves torch's own choice.
        implementations: their names.
        backward: whether the gradients of all tensors are calculated too.
        seconds: the time for samples.
        seed: of the order in which implementations take turns.
    """

    task: Literal["check", "memory", "time", "peaks"]
    operator: str
    case: str
    dtype: str
    device: str = "cpu"
    threads: int | None = None
    implementations: tuple[str, ...] = ()
    backward: bool = False
    seconds: float = 5.0
    seed: int = 0


def answer(question: Question) -> dict[str, Any]:
    """Answer a question in this process.

    Returns:
        ``check``: {"errors": {implementation: sentence}} for red ones, {"refused": {implementation: sentence}} for
            those that cannot run here, both empty if green.
        ``memory``: {"bytes": peak growth or None, "reason": sentence if None} or {"error": sentence}.
        ``time``: {"samples": {implementation: seconds}, "errors": {implementation: sentence}}.
        ``peaks``: the fields of :class:`claimbench.bench.machine.peaks.Peaks`.
    """
    if question.threads is not None:
        torch.set_num_threads(question.threads)
    torch.backends.cudnn.allow_tf32 = False
    tasks = {"check": _check, "memory": _memory, "time": _time, "peaks": _peaks}
    return tasks[question.task](question)


def layouts(x: Any) -> list[str]:
    """Return the names of the baselines that hold ``x`` in another memory format than it has."""
    if not isinstance(x, Tensor) or x.dim() != 4:
        return []
    return [name for name, form in _LAYOUTS.items() if not x.is_contiguous(memory_format=form)]


def shaped(question: Question) -> tuple[Any, ...]:
    """Return the arguments of the problem as tensors that have shape and strides but no data."""
    with FakeTensorMode():
        return _case(question).arguments(DTYPES[question.dtype], "cpu")


def _case(question: Question) -> Case:
    (case,) = (c for c in load_cases(question.operator, "BENCH") if c.name == question.case)
    return case


def _arguments(question: Question) -> tuple[Any, ...]:
    return _case(question).arguments(DTYPES[question.dtype], question.device)


def make_call(operator: Operator, implementation: str, args: tuple[Any, ...], backward: bool) -> Call:
    """Return a function without arguments that runs the implementation and returns the output and the gradients."""
    if implementation in _LAYOUTS:
        form = _LAYOUTS[implementation]
        args = tuple(a.contiguous(memory_format=form) if isinstance(a, Tensor) and a.dim() == 4 else a for a in args)
    plain = operator.reference
    if implementation == "compiled":
        plain = torch.compile(operator.reference, fullgraph=True, dynamic=False)
    backend = implementation if implementation not in BASELINES else None
    floating = [isinstance(a, Tensor) and a.is_floating_point() for a in args]
    pairs = zip(args, floating, strict=True)
    leaves = operator.arguments(*(a.detach().requires_grad_(backward) if number else a for a, number in pairs))
    wanted = [leaf for leaf, number in zip(leaves, floating, strict=True) if number]
    grads: list[Tensor] = []

    def call() -> list[Tensor]:
        with backends.use(backend), torch.set_grad_enabled(backward):
            out = plain(leaves) if backend is None else operator(*leaves)
            outputs = [out] if isinstance(out, Tensor) else list(out)
            if not backward:
                return outputs
            if not grads:
                grads.extend(torch.empty_like(o).copy_(g) for o, g in zip(outputs, upstream(outputs), strict=True))
            return [*(o.detach() for o in outputs), *torch.autograd.grad(outputs, wanted, grads)]

    return call


def _check(question: Question) -> dict[str, Any]:
    operator = find_operator(question.operator)
    errors, refused = {}, {}
    cases = load_cases(question.operator, "CHECK")
    for name in question.implementations:
        rows = list(check_operator(operator, cases, name, [question.dtype], question.device))
        bad = [row for row in rows if row.status == "failed"]
        if bad:
            errors[name] = f"not timed, its check is red: {bad[0].case}: {bad[0].reason}"
        elif all(row.status == "refused" for row in rows):
            refused[name] = rows[0].reason
    return {"errors": errors, "refused": refused}


def _peaks(question: Question) -> dict[str, Any]:
    return vars(measure_peaks(question.device, DTYPES[question.dtype]))


def _memory(question: Question) -> dict[str, Any]:
    (name,) = question.implementations
    try:
        call = make_call(find_operator(question.operator), name, _arguments(question), question.backward)
        call()  # compiles, loads libraries and starts threads
        grown = _cuda_growth(call) if torch.device(question.device).type == "cuda" else _resident_growth(call)
    except Exception as error:  # an implementation may die in any way, and the row has to say so
        return {"error": sentence(error)}
    return {"bytes": grown, "reason": "" if grown is not None else "this system keeps no peak that can be reset"}


def _cuda_growth(call: Call) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _resident_growth(call: Call) -> int | None:
    """Return the bytes by which a call raises the high-water mark of the resident memory, its results included."""
    gc.collect()
    trim()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # lowers the mark to the resident memory of now (Linux, proc(5))
    except OSError:
        return None
    before = _status("VmHWM")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _time(question: Question) -> dict[str, Any]:
    operator, args = find_operator(question.operator), _arguments(question)
    errors: dict[str, str] = {}
    calls: dict[str, Call] = {}
    expected = _expected(operator, args, question)
    for name in question.implementations:
        try:
            call = make_call(operator, name, args, question.backward)
            errors_here = _disagreement(call(), expected, DTYPES[question.dtype])
            if errors_here:
                errors[name] = f"not timed, it differs on this very problem: {errors_here}"
            else:
                calls[name] = call
        except Exception as error:  # an implementation may die in any way, and the row has to say so
            errors[name] = sentence(error)
    del expected
    return {"samples": _in_turns(calls, question), "errors": errors}


def _expected(operator: Operator, args: tuple[Any, ...], question: Question) -> list[Tensor]:
    """Return the reference's output on the same arguments, calculated in float32 at least."""
    wider = tuple(a.float() if isinstance(a, Tensor) and a.itemsize < 4 else a for a in args)
    return make_call(operator, "reference", wider, question.backward)()


def _disagreement(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> str:
    """Return the first tensor that is off, in words; both sides round, so twice the tolerance of a check is allowed."""
    for position, (a, b) in enumerate(zip(found, expected, strict=True)):
        gap = (a.to(b.dtype) - b).norm() / b.norm().clamp_min(torch.finfo(b.dtype).tiny)
        if not gap <= 2 * TOLERANCE[dtype]:
            return f"{f'gradient {position}' if position else 'output'} by {gap:.1e}"
    return ""


def _in_turns(calls: dict[str, Call], question: Question) -> dict[str, list[float]]:
    """Sample every call once a round, in random order, until all medians are known to 1 % or time is up."""
    if not calls:
        return {}
    take = _cuda_sampler() if torch.device(question.device).type == "cuda" else _cpu_sample
    repeats = {name: _repeats(call, take) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order, rng, start = list(calls), random.Random(question.seed), perf_counter()
    for done in range(1, _ROUNDS[1] + 1):
        rng.shuffle(order)
        for name in order:
            samples[name].append(take(calls[name], repeats[name]))
        widths = [relative_halfwidth(taken) for taken in samples.values()]
        steady = all(width is not None and width <= _STEADY for width in widths)
        if done >= _ROUNDS[0] and (steady or perf_counter() - start > question.seconds):
            break
    return samples


def _repeats(call: Call, take: Callable[[Call, int], float]) -> int:
    """Return the number of calls that makes a sample long enough for the clock, after warming up."""
    take(call, 1)
    return max(1, math.ceil(_SAMPLE_SECONDS / take(call, 2))) if take is _cpu_sample else 1


def _cpu_sample(call: Call, repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats


def _cuda_sampler() -> Callable[[Call, int], float]:
    """Return a sampler that empties the L2 cache before each call and times it with a pair of events."""
    flush = torch.empty(_L2_FLUSH_BYTES, dtype=torch.int8, device="cuda")

    def sample(call: Call, repeats: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        start.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000 / repeats

    return sample


def main() -> None:
    """Answer the question on stdin."""
    out, sys.stdout = sys.stdout, sys.stderr  # what an implementation prints must not come between
    body = json.load(sys.stdin)
    question = Question(**{**body, "implementations": tuple(body["implementations"])})
    if question.task == "memory":  # not for times: it makes every large allocation a system call
        return_freed_memory()
    print(json.dumps(answer(question)), file=out, flush=True)


if __name__ == "__main__":
    main()
