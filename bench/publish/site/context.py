"""The variables of the templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from claimbench.bench import tasks
from claimbench.bench.papers.spec import Paper, Study, Variant
from claimbench.bench.publish.site.badges import badge_text
from claimbench.bench.publish.site.front import findings, off_figures
from claimbench.bench.publish.site.gather import Material, PaperResults
from claimbench.bench.publish.site.machines import MachinePage
from claimbench.bench.publish.site.nights import night_lines
from claimbench.bench.publish.site.operators import Operator
from claimbench.bench.report import study
from claimbench.bench.report.tally import tally
from claimbench.bench.training.study.summary import Summary

Rows = list[dict[str, Any]]


def overview(
    material: Material,
    rows: Mapping[str, Rows],
    machines: list[MachinePage],
    operators: list[Operator],
    downloads: list[str],
) -> dict[str, Any]:
    """Return the variables of the pages about all papers; ``downloads`` are the files of all rows in ``data/``."""
    papers = sorted(material.papers, key=lambda result: result.paper.id)
    lines = [_summary(result) for result in papers]
    facts = {result.paper.id: result.paper.study for result in material.papers}
    total = Counter[str]()
    for line in lines:
        total.update(line["counts"])
    return {
        "lines": lines,
        "tasks": sorted({line["task"] for line in lines}),
        "total": total,
        "findings": findings(material),
        "studies": [_study(summary, facts.get(summary.paper)) for summary in material.studies],
        "nights": night_lines(material.nights),
        "downloads": downloads,
        "material": material,
        "machines_found": machines,
        "operators_found": operators,
        "models": len({(result.paper.id, v.name) for result in material.papers for v in result.paper.variants}),
    }


def _summary(result: PaperResults) -> dict[str, Any]:
    paper = result.paper
    verdicts = [claim.verdict for claim in result.report.claims]
    return {
        "paper": paper,
        "task": result.report.task or paper.task,
        "off": off_figures(result),
        "known": result.known,
        "counts": tally(result.report.rows),
        "variants": len(paper.variants),
        "claims": {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(sorted(verdicts))},
        "devices": result.devices,
    }


def _study(summary: Summary, facts: Study | None) -> dict[str, Any]:
    """Return a study as its page shows it: the two arms, the difference and the remarks."""
    found = summary.difference
    return {
        "paper": summary.paper,
        "subject": summary.subject,
        "device": summary.device,
        "verdict": found.verdict if found else "",
        "says": summary.verdict,
        "difference": study.difference_text(found) if found else "",
        "value": found.value if found else None,
        "low": found.low if found else None,
        "high": found.high if found else None,
        "seeds": study.seeds_text(summary) if found else "",
        "block": facts.block if facts else "",
        "counterpart": facts.counterpart if facts else "",
        "data": study.data_text(summary),
        "where": study.where_text(summary),
        "arms": [study.cells(arm) for arm in summary.arms],
        "remarks": study.remarks(summary, facts),
        "settings": summary.setting.says(),
    }


def paper(result: PaperResults, rows: Rows, studies: Iterable[Summary], address: str, page: str) -> dict[str, Any]:
    """Return the variables of a paper's page; ``page`` is its file's name, and ``address`` that of the site."""
    counted = tally(result.report.rows)
    says = badge_text(counted)
    return {
        "studies": [_study(found, result.paper.study) for found in studies if found.paper == result.paper.id],
        "badge": says,
        "badge_code": f"[![claimbench: {says}]({address}badges/{page}.svg)]({address}papers/{page}.html)",
        "result": result,
        "paper": result.paper,
        "counts": counted,
        "off": off_figures(result),
        "claims": result.report.claims,
        "variants": [_variant(result, variant, rows) for variant in result.paper.variants],
        "setups": result.report.setups,
        "official": _official(result.paper),
        "has_pairs": bool(result.report.pairs),
    }


def _variant(result: PaperResults, variant: Variant, rows: Rows) -> dict[str, Any]:
    paper = result.paper
    mine = [row for row in rows if row["model"] == variant.name]
    parity = [row for row in mine if row["key"] == "parity"]
    proven = [row for row in parity if row["value"] is not None]
    return {
        "variant": variant,
        "forms": variant.forms or tuple(form.name for form in paper.forms),
        "size": tasks.shown(paper.task_of(variant)).size(variant.input.sample_shape()),
        "counts": tally(row for row in result.report.rows if row.subject == variant.name),
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
