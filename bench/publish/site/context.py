"""The variables of the templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claimbench.bench import tasks
from claimbench.bench.papers.spec import Paper, Variant
from claimbench.bench.publish.site.gather import Material, PaperResults
from claimbench.bench.publish.site.machines import MachinePage
from claimbench.bench.publish.site.operators import Operator
from claimbench.bench.publish.site.page_rows import counts

Rows = list[dict[str, Any]]


def overview(
    material: Material, rows: Mapping[str, Rows], machines: list[MachinePage], operators: list[Operator]
) -> dict[str, Any]:
    """Return the variables of the pages about all papers."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for result in material.papers:
        tasks.setdefault(result.paper.task, []).append(_summary(result, rows[result.paper.id]))
    every = [line["counts"] for lines in tasks.values() for line in lines]
    total = {name: sum(counted[name] for counted in every) for name in ("agrees", "differs", "open", "silent")}
    return {
        "tasks": tasks,
        "total": total,
        "material": material,
        "machines_found": machines,
        "operators_found": operators,
        "models": len({(result.paper.id, v.name) for result in material.papers for v in result.paper.variants}),
    }


def _summary(result: PaperResults, rows: Rows) -> dict[str, Any]:
    paper = result.paper
    verdicts = [claim.verdict for claim in result.report.claims]
    parity = [row for row in rows if row["key"] == "parity" and row["value"] is not None]
    return {
        "paper": paper,
        "known": result.known,
        "counts": counts(rows),
        "variants": len(paper.variants),
        "claims": {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(sorted(verdicts))},
        "parity": sum(row["group"] == "agrees" for row in parity),
        "parity_failed": sum(row["group"] != "agrees" for row in parity),
        "devices": result.devices,
    }


def paper(result: PaperResults, rows: Rows) -> dict[str, Any]:
    """Return the variables of a paper's page."""
    return {
        "result": result,
        "paper": result.paper,
        "counts": counts(rows),
        "claims": result.report.claims,
        "variants": [_variant(result.paper, variant, rows) for variant in result.paper.variants],
        "setups": result.report.setups,
        "official": _official(result.paper),
        "has_pairs": bool(result.report.pairs),
    }


def _variant(paper: Paper, variant: Variant, rows: Rows) -> dict[str, Any]:
    mine = [row for row in rows if row["model"] == variant.name]
    parity = [row for row in mine if row["key"] == "parity"]
    proven = [row for row in parity if row["value"] is not None]
    return {
        "variant": variant,
        "forms": variant.forms or tuple(form.name for form in paper.forms),
        "size": tasks.shown(paper.task_of(variant)).size(variant.input.sample_shape()),
        "counts": counts(mine),
        "parity": proven[0] if proven else None,
        "why": parity[0]["detail"] if parity else "it was not part of what was run",
    }


def _official(paper: Paper) -> dict[str, str]:
    """Return the address of the official code."""
    if paper.official is None:
        return {}
    repo, commit = paper.official.repo.strip(), paper.official.commit.strip()
    address = repo if "://" in repo else f"https://github.com/{repo}"
    if commit and address.startswith("https://github.com/"):
        address = f"{address.removesuffix('.git')}/tree/{commit}"
    return {"repo": repo, "commit": commit, "address": address, "license": paper.official.license}
