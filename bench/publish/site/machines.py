"""A machine's facts, its runs and their times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from claimbench.bench.core.text import flat
from claimbench.bench.publish.site.gather import Material, PaperResults


@dataclass(frozen=True)
class MachinePage:
    """A machine.

    Attributes:
        device: its short name.
        title: the processor or GPU in words.
        environments: (digest, facts) of each software it was seen with.
        runs: a line each: id, first time, commit, papers, records, failures; the newest first.
        papers: the number of figures of each paper that were measured on it.
        operators: the operators timed on it.
    """

    device: str
    title: str
    environments: list[tuple[str, list[tuple[str, str]]]]
    runs: list[dict[str, Any]]
    papers: dict[str, int]
    operators: list[str]


def machines(material: Material) -> list[MachinePage]:
    """Return every machine that anything was measured on, by its short name."""
    names = {device for result in material.papers for device in result.devices} | set(material.kernels)
    names |= {record.device for records in material.runs.values() for record in records[:1]}
    return [_machine(material, name) for name in sorted(names)]


def _machine(material: Material, device: str) -> MachinePage:
    runs = list(_runs(material, device))
    papers = {result.paper.id: sum(figure.device == device for figure in result.figures) for result in material.papers}
    kernel_rows = material.kernels.get(device, [])
    used = {figure.environment for r in material.papers for figure in r.figures if figure.device == device}
    used |= {str(row.get("environment", "")) for row in kernel_rows}
    facts = [(digest, material.environments.get(digest, {})) for digest in sorted(used)]
    return MachinePage(
        device=device,
        title=next((title for _, found in facts if (title := _title(found))), device),
        environments=[(digest, list(flat(found).items())) for digest, found in facts if found],
        runs=runs,
        papers={name: count for name, count in papers.items() if count},
        operators=sorted({str(row["operator"]) for row in kernel_rows}),
    )


def _title(facts: Mapping[str, Any]) -> str:
    """Return the GPU's or else the processor's name; empty if the facts do not tell."""
    gpu, cpu = facts.get("gpu"), facts.get("cpu")
    if isinstance(gpu, Mapping) and gpu.get("name"):
        return str(gpu["name"])
    if isinstance(cpu, Mapping) and cpu.get("model"):
        return f"{cpu['model']}, {cpu.get('usable_cores') or '?'} cores"
    return ""


def _runs(material: Material, device: str) -> Iterable[dict[str, Any]]:
    for run in sorted(material.runs, reverse=True):
        mine = [record for record in material.runs[run] if record.device == device]
        if mine:
            yield {
                "run": run,
                "time": mine[0].time,
                "commit": mine[-1].commit,
                "papers": sorted({record.job.paper for record in mine if record.job.paper}),
                "records": len(mine),
                "failed": sum(record.measurement.status == "failed" for record in mine),
            }


def machine_rows(
    results: Iterable[PaperResults], device: str, rows: Mapping[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return the measured rows of a machine, each with the paper whose page holds its evidence."""
    fields = (
        "id", "model", "form", "metric", "key", "conditions", "measured", "value", "low", "high", "unit", "verdict",
        "degree", "detail", "precision", "batch", "mode", "time", "run",
    )  # fmt: skip
    return [
        {"paper": result.paper.id, **{name: row.get(name) for name in fields}}
        for result in results
        for row in rows[result.paper.id]
        if row["device"] == device and row["value"] is not None
    ]
