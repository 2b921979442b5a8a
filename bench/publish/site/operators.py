"""The results of the operators' benchmarks: each backend against plain PyTorch, torch.compile and the roofline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from claimbench.bench.publish.site.reproduce import kernel_command

PLAIN, COMPILED = "reference", "compiled"

_KEPT = (
    "case", "dtype", "direction", "implementation", "threads", "status", "reason", "memory_reason", "bound", "method",
    "time", "commit",
)  # fmt: skip
"""The fields of a timing that pages show as they are."""


@dataclass(frozen=True)
class Operator:
    """An operator.

    Attributes:
        name: its name.
        signature, summary: its call, and its description in a line; empty if it is not part of this installation.
        backends: (name, sentence) for each backend, as seen where the pages were made.
        rows: its timings on every machine; see :func:`operator_rows`.
    """

    name: str
    signature: str
    summary: str
    backends: list[tuple[str, str]]
    rows: list[dict[str, Any]]


def operators(kernels: Mapping[str, list[dict[str, Any]]], listed: Iterable[Any] = ()) -> list[Operator]:
    """Return every operator that is installed (``claimbench.bench.measure.operators.list.OperatorRow``) or was timed
    anywhere, by name.
    """
    known = {row.operator: row for row in listed}
    timed: dict[str, list[dict[str, Any]]] = {}
    for device, rows in kernels.items():
        for row in rows:
            timed.setdefault(str(row["operator"]), []).append(_row(device, row))
    found = []
    for name in sorted({*known, *timed}):
        one = known.get(name)
        backends = [(state.backend, state.reason or "runs") for state in one.backends] if one else []
        rows = [{**row, "id": str(number)} for number, row in enumerate(timed.get(name, []))]
        signature, summary = (one.signature, one.summary) if one else ("", "")
        found.append(Operator(name, signature, summary, backends, rows))
    return found


def _row(device: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a timing as plain data, without fields of a wrong type."""
    against = {str(a.get("baseline")): a for a in _list(row.get("against")) if isinstance(a, Mapping)}
    ceiling = row.get("ceiling") if isinstance(row.get("ceiling"), Mapping) else {}
    assert isinstance(ceiling, Mapping)
    seconds, flops, moved = _number(row.get("seconds")), _number(row.get("flops")), _number(row.get("moved"))
    strongest = str(row.get("strongest") or "")
    return {
        "device": device,
        **{name: row.get(name) for name in _KEPT},
        "ms": _scaled(seconds, 1e3),
        "low": _scaled(_number(row.get("low")), 1e3),
        "high": _scaled(_number(row.get("high")), 1e3),
        "memory_mib": _scaled(_number(row.get("memory")), 2**-20),
        "roofline": _number(row.get("roofline_fraction")),
        "plain": _speed(against.get(PLAIN)),
        "compiled": _speed(against.get(COMPILED)),
        "strongest": {"name": strongest, **(_speed(against.get(strongest)) or {})} if strongest else None,
        "intensity": flops / moved if flops and moved else None,
        "gflops": flops / seconds / 1e9 if flops and seconds else None,
        "peak_gflops": _scaled(_number(ceiling.get("flops")), 1e-9),
        "peak_gbytes": _scaled(_number(ceiling.get("bytes")), 1e-9),
        "ceiling": ceiling.get("method") or row.get("ceiling_reason"),
        "environment": str(row.get("environment", "")),
        "command": kernel_command(row),
    }


def _speed(against: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the speed-up over a baseline, with its interval and its verdict."""
    ratio = _number(against.get("ratio")) if against else None
    if against is None or ratio is None:
        return None
    bounds = {name: _number(against.get(name)) for name in ("low", "high")}
    return {"ratio": ratio, **bounds, "verdict": against.get("verdict"), "reason": against.get("reason")}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
