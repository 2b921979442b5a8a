"""Summaries of studies as text: for the terminal, as a Markdown page, as JSON. Never beside figures of ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from tabulate import tabulate

from claimbench.bench.core.differences import PairedDifference
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.terminal import columns, table
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Study
from claimbench.bench.report.render import clean, markdown
from claimbench.bench.training.study.setting import KNOWN
from claimbench.bench.training.study.summary import Arm, Summary

Facts = Callable[[str], Study | None]
"""Returns the ``study`` of a paper from its ``paper.yaml``."""

COLOURS = {"helps": "green", "hurts": "red", "no difference seen": "cyan", "too few seeds": "magenta"}
TITLES = ("Arm", "Test accuracy", "Training time", "FLOPs", "Parameters", "Memory")
PAGE_TITLES = ("Paper", "Data", "Block", "Counterpart", "Block %", "Counterpart %", "Difference", "Seeds", "Verdict")
COST_TITLES = ("Network", "Data", "Arm", *TITLES[1:])

COVERS = (
    "Each arm: mean over seeds +- their standard deviation. The difference is block minus counterpart in points, both "
    "arms of a seed trained on the same pictures in the same order. Its 95 % interval covers other seeds and other "
    "test pictures, and the verdict rests on it; the one in brackets covers other seeds on just these test pictures."
)
LIMITS = (
    "A verdict is about this small network, this data set and this recipe at equal parameters, and about nothing "
    "larger. Where there is no difference at all, about one verdict in twenty would still claim one."
)


def renderable(found: Sequence[Summary], facts: Facts) -> RenderableType:
    """Return summaries for a ``rich`` console."""
    parts: list[RenderableType] = []
    for summary in found:
        parts += _terminal(summary, facts(summary.paper) if summary.paper else None)
    if any(summary.difference for summary in found):
        parts += [Text(f"\n{COVERS} {LIMITS}", style="dim")]
    return Group(*parts)


def page(found: Sequence[Summary], facts: Facts, device: str) -> str:
    """Return summaries of one device as a Markdown page: the same records give the same bytes."""
    parts = [f"# Small-scale studies on {markdown.escape(device)}", markdown.escape(COVERS), markdown.escape(LIMITS)]
    rows = [_page_row(s, facts(s.paper)) for s in found if s.difference is not None]
    if rows:
        parts += ["## Does the block help?", _table(PAGE_TITLES, rows)]
    costs = [(s.subject, data_text(s), *cells(arm)) for s in found for arm in s.arms]
    if costs:
        parts += ["## What each arm took", _table(COST_TITLES, costs)]
    notes = [f"{s.subject}: {note}" for s in found for note in remarks(s, facts(s.paper) if s.paper else None)]
    settings = dict.fromkeys(f"{s.setting.dataset}, {s.setting.says()}" for s in found)
    data = dict.fromkeys(f"{s.setting.dataset}: {KNOWN[s.setting.dataset].about}" for s in found)
    where = dict.fromkeys(where_text(s) for s in found)
    for heading, lines in (("Notes", notes), ("How it was trained", [*settings, *data, *where])):
        if lines:
            parts += [f"## {heading}", "\n".join(f"- {markdown.escape(line)}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def sentences(found: Sequence[Summary]) -> dict[str, str]:
    """Return a sentence on the study of each paper, its data and its verdict; of several the last."""
    known = [(s, s.difference) for s in found if s.difference is not None]
    return {s.paper: f"small-scale study, {data_text(s)}: {difference_text(d)}: {s.verdict}" for s, d in known}


def to_json(summary: Summary) -> dict[str, Any]:
    """Return a summary as plain data."""
    return {**asdict(summary), "setting": summary.setting.to_json(), "verdict": summary.verdict}


def _terminal(summary: Summary, study: Study | None) -> list[RenderableType]:
    """Return one subject: a heading, a row for each arm, the difference, further remarks."""
    title = f"\n{summary.subject}: {study.block} against {study.counterpart}" if study else f"\n{summary.subject}"
    parts: list[RenderableType] = [
        Text(clean(title).strip(), style="bold"),
        _dim(f"  {data_text(summary)}; {where_text(summary)}"),
    ]
    if summary.arms:
        arms = table(TITLES, [cells(arm) for arm in summary.arms], columns() - 2, right=TITLES[1:])
        parts.append(Padding(arms, (0, 0, 0, 2)))
    if summary.difference is not None:
        line = Text(f"  Difference {difference_text(summary.difference)}, {seeds_text(summary)}: ")
        line.append(summary.verdict, style=COLOURS[summary.difference.verdict])
        parts.append(line)
    parts += [_dim(f"  {clean(note)}") for note in remarks(summary, study)]
    return [*parts, Text("")]


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def cells(arm: Arm) -> tuple[str, ...]:
    """Return an arm as cells under :data:`TITLES`."""
    spread = "" if arm.accuracy.deviation is None else f" +- {arm.accuracy.deviation:.2f}"
    return (
        arm.name,
        f"{arm.accuracy.mean:.2f}{spread} %",
        _time(arm.seconds),
        "not counted" if arm.flops is None else f"{arm.flops / 1e6:.1f} M",
        f"{arm.parameters:,}",
        f"{arm.memory / 2**20:.0f} MiB",
    )


def _page_row(summary: Summary, study: Study | None) -> tuple[str, ...]:
    block, counterpart = summary.arms
    assert summary.difference is not None
    return (
        summary.subject,
        data_text(summary),
        study.block if study else "",
        study.counterpart if study else "",
        cells(block)[1].removesuffix(" %"),
        cells(counterpart)[1].removesuffix(" %"),
        difference_text(summary.difference),
        seeds_text(summary),
        summary.verdict,
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[markdown.escape(cell) for cell in row] for row in rows]
    return tabulate(cells, headers=titles, tablefmt="pipe", disable_numparse=True)


def difference_text(found: PairedDifference) -> str:
    """Return a difference in points, with the interval over other seeds and pictures, then that over seeds alone."""
    if found.low is None or found.high is None or found.seeds_low is None or found.seeds_high is None:
        return f"{found.value:+.2f}, no interval from one seed"
    near = f"[{found.seeds_low:+.2f} to {found.seeds_high:+.2f}]"
    return f"{found.value:+.2f}, {found.low:+.2f} to {found.high:+.2f} {near}"


def seeds_text(summary: Summary) -> str:
    """Return in how many seeds the block is ahead; the summary has a difference."""
    assert summary.difference is not None
    each = summary.difference.each
    better = sum(value > 0 for value in each)
    return f"block ahead in {better} of {len(each)} seeds"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def data_text(summary: Summary) -> str:
    """Return the data set, the effort and the length of the trainings."""
    return f"{summary.setting.dataset}, {summary.setting.effort}, {summary.setting.epochs} epochs"


def where_text(summary: Summary) -> str:
    """Return the circumstances of the trainings."""
    threads = f", {summary.threads} thread{'s' * (summary.threads > 1)} a training" if summary.threads else ""
    commit = f"commit {summary.commit[:12]}{'+dirty' * summary.commit.endswith('+dirty')}" if summary.commit else ""
    facts = (f"{summary.device}, {summary.precision}{threads}", commit, summary.day, f"run {summary.run}")
    return ", ".join(fact for fact in facts if fact)


def _others(summary: Summary) -> list[str]:
    """Return whence more seeds come, if they do."""
    return [
        f"with the seeds of run {run}" + (f" (commit {commit[:12]})" if commit else "")
        for run, commit in summary.others
    ]


def remarks(summary: Summary, study: Study | None) -> list[str]:
    """Return further remarks, a sentence each."""
    unpaired = ", ".join(map(str, summary.unpaired))
    return [
        *([f"the comparison is from {study.source}"] if study else []),
        *([study.note] if study and study.note else []),
        *_others(summary),
        *([f"only one arm is there for seed {unpaired}, which is left out"] if unpaired else []),
        *(f"failed: {text}" for text in summary.failed),
    ]


def study_of(paper: str) -> Study | None:
    """Return the ``study`` of a paper; None if it is no longer there, for records outlive papers."""
    try:
        return registry.paper(paper).study
    except UserError:
        return None
