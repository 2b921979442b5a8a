"""Proves every backend of every operator against its float64 reference, for ``bench kernels check``.

Triton kernels are checked on a CPU in Triton's interpreter, which must be switched on before Triton is imported, so
those checks run in a process of their own: ``python -m claimbench.bench.measure.operators.check`` reads one
:class:`CheckRequest` as JSON on stdin and writes one :class:`CheckRow` as a line of JSON to stdout for each check.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.measure.golden_check import check_golden
from claimbench.bench.measure.verify import load_with_paper
from claimbench.kernels import find_operator, operator_names
from claimbench.kernels.backend import BACKENDS, BackendRefusedError
from claimbench.kernels.backend import use as use_backend
from claimbench.kernels.cases import Case
from claimbench.kernels.check import TOLERANCE, Difference, check
from claimbench.kernels.operator import Operator

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in TOLERANCE}
CHECKED = tuple(name for name in BACKENDS if name != "reference")

Status = Literal["passed", "failed", "refused"]
"""``passed``: every tensor is within its tolerance. ``failed``: one is not, or the backend died. ``refused``: the
backend cannot run here or cannot take the case. The last two come with a ``reason``."""


@dataclass(frozen=True)
class CheckRow:
    """One backend on one case in one dtype.

    Attributes:
        operator, backend, case, dtype, device: the subject; ``case`` is empty if no case could be tried.
        interpreted: whether Triton's interpreter ran it instead of a GPU.
        status: see :data:`Status`.
        reason: one sentence unless ``status`` is ``passed``.
        differences: of the output and each gradient from the reference.
        seconds: the duration of the check.
    """

    operator: str
    backend: str
    case: str
    dtype: str
    device: str
    interpreted: bool = False
    status: Status = "passed"
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    seconds: float = 0.0

    @property
    def worst(self) -> Difference | None:
        """The tensor that is closest to its tolerance or furthest beyond it; None where nothing was compared."""
        return max(self.differences, key=_excess, default=None)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> CheckRow:
        """Return the row that ``dataclasses.asdict`` wrote."""
        return cls(**{**body, "differences": tuple(Difference(**d) for d in body["differences"])})


@dataclass(frozen=True)
class CheckRequest:
    """The scope of a check: names of operators, backends and dtypes, the device, and names of ``CHECK`` cases.

    Golden records of parts of models take the place of operators and cases where ``goldens`` names their files.
    """

    operators: tuple[str, ...]
    backends: tuple[str, ...]
    dtypes: tuple[str, ...]
    device: str = "cpu"
    case: str = ""
    goldens: tuple[str, ...] = ()


def any_failed(rows: Iterable[CheckRow]) -> bool:
    """Whether any check failed: the exit status of ``bench kernels check``."""
    return any(row.status == "failed" for row in rows)


def check_all(
    operators: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    dtypes: Sequence[str] | None = None,
    device: str = "cpu",
    on_row: Callable[[CheckRow], None] | None = None,
    case: str = "",
) -> list[CheckRow]:
    """Check backends against the reference on every case of every operator, forward and backward.

    Args:
        operators: names; None for all of them.
        backends: names; None for every backend but the reference itself.
        dtypes: ``float64``, ``float32``, ``float16`` or ``bfloat16``; None for all four.
        device: of the backend's tensors, for example ``cpu`` or ``cuda``.
        on_row: called with each row as soon as it is known.
        case: check only cases whose name contains this.

    Raises:
        UserError: a name does not exist.
    """
    request = CheckRequest(
        names("operator", operators, operator_names()),
        names("kernel backend", backends, BACKENDS, CHECKED),
        names("dtype", dtypes, tuple(DTYPES)),
        device,
        case,
    )
    return _collected(request, on_row)


def check_goldens(
    files: Sequence[Path],
    backends: Sequence[str] | None = None,
    device: str = "cpu",
    on_row: Callable[[CheckRow], None] | None = None,
) -> list[CheckRow]:
    """Check the operators of parts of models against golden records of the official code, forward and backward.

    Args:
        files: golden records of parts.
        backends, device, on_row: as of :func:`check_all`.

    Raises:
        UserError: a file is broken, describes a whole model, or names a paper, variant or backend that does not exist.
    """
    for file in files:
        golden, _, _ = load_with_paper(file)
        if not golden.unit:
            raise UserError(f"golden {file} describes a whole model: `bench verify --golden {file}` checks it")
    chosen = names("kernel backend", backends, BACKENDS, CHECKED)
    return _collected(CheckRequest((), chosen, (), device, goldens=tuple(map(str, files))), on_row)


def _collected(request: CheckRequest, on_row: Callable[[CheckRow], None] | None) -> list[CheckRow]:
    rows = []
    for row in _rows(request):
        rows.append(row)
        if on_row is not None:
            on_row(row)
    return rows


def check_operator(
    operator: Operator, cases: Iterable[Case], backend: str, dtypes: Iterable[str], device: str = "cpu"
) -> Iterator[CheckRow]:
    """Yield one row for each case and dtype, checked in this process; one row in all if the backend cannot run here."""
    interpreted = backend == "triton" and _interpreting()
    blank = CheckRow(operator.name, backend, "", "", device, interpreted)
    module = None if backend == "reference" else operator.load(backend)
    if isinstance(module, str):
        yield replace(blank, status="refused", reason=module)
        return
    for case in cases:
        for dtype in dtypes:
            yield _check_case(operator, case, replace(blank, case=case.name, dtype=dtype))


def load_cases(name: str, kind: Literal["CHECK", "BENCH"]) -> tuple[Case, ...]:
    """Return the cases an operator is checked (``CHECK``) or timed (``BENCH``) on."""
    cases: tuple[Case, ...] = getattr(import_module(f"claimbench.kernels.{name}.cases"), kind)
    return cases


def _check_case(operator: Operator, case: Case, row: CheckRow) -> CheckRow:
    start = perf_counter()
    try:
        with _poisoned_memory():
            found = tuple(check(operator, case, row.backend, DTYPES[row.dtype], row.device))
    except BackendRefusedError as refusal:
        return replace(row, status="refused", reason=str(refusal))
    except Exception as error:  # a backend may die in any way, and the row has to say so
        return replace(row, status="failed", reason=sentence(error), seconds=perf_counter() - start)
    row = replace(row, differences=found, seconds=perf_counter() - start)
    beyond = [d for d in found if not d.passed]
    if not beyond:
        return row
    listed = ", ".join(f"{d.tensor} by {d.relative:.1e} where {d.tolerance:.1e} is allowed" for d in beyond)
    return replace(row, status="failed", reason=f"differs from the float64 reference: {listed}")


@contextmanager
def _poisoned_memory() -> Iterator[None]:
    """Fill the results of ``torch.empty`` with NaN, so that an element no kernel wrote cannot pass for a right one."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*deterministic")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _check_part(file: str, row: CheckRow) -> CheckRow:
    """Return the row of one backend on the golden record of a part, named after the operators that ran."""
    golden, module, config = load_with_paper(Path(file))
    row = replace(row, case=golden.variant, dtype=golden.dtype)
    start = perf_counter()
    ran = _OperatorsSeen()
    try:
        with use_backend(row.backend), _poisoned_memory(), ran:
            result = check_golden(golden, import_module(f"{module}.official"), config, row.device)
    except BackendRefusedError as refusal:
        return replace(row, operator=ran.listed(), status="refused", reason=str(refusal))
    except Exception as error:  # a backend may die in any way, and the row has to say so
        return replace(row, operator=ran.listed(), status="failed", reason=sentence(error))
    found = tuple(Difference(o.name, o.worst(), o.max_abs, golden.tolerance) for o in result.outputs)
    row = replace(row, operator=ran.listed(), differences=found, seconds=perf_counter() - start)
    if not ran.names and row.backend != "reference":
        return replace(row, status="refused", reason="no shared operator runs in this part")
    beyond = [f"{d.tensor} by {d.relative:.1e} where {d.tolerance:.1e} is allowed" for d in found if not d.passed]
    if beyond:
        return replace(row, status="failed", reason=f"differs from the official code: {', '.join(beyond)}")
    return row


class _OperatorsSeen(TorchDispatchMode):
    """Notes the names of the shared operators that run in the block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "claimbench":
            self.names[func._opname.removesuffix("_backward")] = None
        return func(*args, **(kwargs or {}))

    def listed(self) -> str:
        return ", ".join(self.names)


def _rows(request: CheckRequest) -> Iterator[CheckRow]:
    for file in request.goldens:
        for backend in request.backends:
            if _needs_interpreter(backend, request.device):
                yield from _interpreted_rows(replace(request, goldens=(file,), backends=("triton",)))
            else:
                interpreted = backend == "triton" and _interpreting()
                yield _check_part(file, CheckRow("", backend, "", "", request.device, interpreted))
    for name in request.operators:
        for backend in request.backends:
            if _needs_interpreter(backend, request.device):
                yield from _interpreted_rows(replace(request, operators=(name,), backends=("triton",)))
            else:
                cases = [case for case in load_cases(name, "CHECK") if request.case in case.name]
                yield from check_operator(find_operator(name), cases, backend, request.dtypes, request.device)


def _needs_interpreter(backend: str, device: str) -> bool:
    return backend == "triton" and torch.device(device).type == "cpu" and not _interpreting()


def _interpreted_rows(request: CheckRequest) -> Iterator[CheckRow]:
    """Yield the rows of a request as a process with Triton's interpreter switched on finds them."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    environment.pop("BENCH_KERNELS", None)
    command = [sys.executable, "-m", "claimbench.bench.measure.operators.check"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(asdict(request)))
            process.stdin.close()
            for line in process.stdout:
                yield CheckRow.from_json(json.loads(line))
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()
    if process.returncode != 0:
        name = next(iter(request.operators), "")
        reason = f"the process with Triton's interpreter ended with exit status {process.returncode}"
        yield CheckRow(name, "triton", "", "", request.device, True, status="failed", reason=reason)


def _interpreting() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def names(kind: str, asked: Sequence[str] | None, known: Sequence[str], default: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names that were asked for, or the default (all that are known) if none were.

    Raises:
        UserError: one is not known, or none is named.
    """
    if asked is None:
        return tuple(default or known)
    for name in asked:
        if name not in known:
            raise unknown(kind, name, known)
    if not asked:
        raise UserError(f"no {kind} was named; known: {', '.join(known)}")
    return tuple(asked)


def sentence(error: Exception) -> str:
    """Return an error as one line: its type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _excess(difference: Difference) -> float:
    excess = difference.relative / difference.tolerance
    return excess if excess == excess else float("inf")


def main() -> None:
    """Run the checks that the request on stdin names, in this process, one line of JSON for each row."""
    body = json.load(sys.stdin)
    lists = ("operators", "backends", "dtypes", "goldens")
    operators, backends, dtypes, goldens = (tuple(body.pop(name)) for name in lists)
    request = CheckRequest(operators, backends, dtypes, goldens=goldens, **body)
    out, sys.stdout = sys.stdout, sys.stderr  # what a kernel prints must not come between the rows
    for row in _rows(request):
        print(json.dumps(asdict(row)), file=out, flush=True)


if __name__ == "__main__":
    main()
