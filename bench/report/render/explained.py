"""Explanations of printed figures as text: for the terminal, and as a Markdown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from claimbench.bench.core.rounding import relative, show, show_relative
from claimbench.bench.measure.counters.catalogue import COUNTERS
from claimbench.bench.report.explain import (
    OTHER_COUNTER,
    TWICE,
    AskedFigure,
    Convention,
    Explained,
    conventions,
    scaled_value,
)
from claimbench.bench.report.render import clean, markdown
from claimbench.bench.store.counted import Counted

OURS = "Counted on this suite's models, which compute what the official ones do, not always by the same modules."
CHANCE = (
    "A figure of two digits can be met by chance: how many of a paper's figures a convention gives says more than a "
    "single one."
)
MOST_SHARES = 5
_NOTHING_PRINTED = "nothing is printed: every count"


def renderable(found: Sequence[Explained], *, details: bool) -> RenderableType:
    """Return explanations for a ``rich`` console.

    Args:
        found: the models.
        details: whether to show every count of each model, with the share of its operators.
    """
    parts: list[RenderableType] = []
    for one in found:
        parts.append(Text(clean(f"{one.paper}: {one.model.model}" if one.paper else one.model.model), style="bold"))
        if one.problem:
            parts.append(Text(f"  not counted to the end: {clean(one.problem)}", style="red"))
        for figure in one.figures:
            style = "green" if figure.plain or figure.sole else "yellow" if figure.fits else "red"
            parts.append(Text(f"  {figure.asked.text} {_noun(figure.asked)}: {clean(figure.sentence)}", style=style))
        if details:
            parts += _details(one)
    if any(figure.asked.quantity == "operations" for one in found for figure in one.figures):
        ours = f"{OURS} " if any(one.paper for one in found) else ""
        parts.append(Text(f"{ours}{CHANCE}", style="dim"))
    return Group(*parts)


def _noun(asked: AskedFigure) -> str:
    return "FLOPs" if asked.quantity == "operations" else "parameters"


def _details(one: Explained) -> list[RenderableType]:
    """Return the counts of one model against each of its figures, what could not be counted, and the shares."""
    parts: list[RenderableType] = []
    for figure in [one for one in one.figures if not one.plain] or one.figures[:1]:
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("Convention", overflow="fold")
        table.add_column("Count", justify="right", no_wrap=True)
        table.add_column(f"Against {figure.asked.text}", justify="right", no_wrap=True)
        for convention in conventions(figure.asked, one.model.counts):
            fits = figure.asked.printed.is_rounded(scaled_value(convention, figure.asked))
            if fits or _as_returned(convention):
                style = "green" if fits else ""
                table.add_row(clean(convention.title), *_against(convention, figure.asked), style=style)
        parts += [Text(""), table]
    if not one.figures:
        counts = [count for count in one.model.counts if count.value is not None and not count.change]
        parts.append(Text(_NOTHING_PRINTED))
        parts.append(tabulated(("Counter", "Count"), [(COUNTERS[c.counter].title, _short(c)) for c in counts]))
    reasons: dict[str, list[str]] = {}
    for count in one.model.counts:
        if count.why:
            reasons.setdefault(count.why, []).append(COUNTERS[count.counter].title)
    for why, titles in reasons.items():
        parts.append(Text(f"  not counted by {', '.join(dict.fromkeys(titles))}: {clean(why)}", style="dim"))
    shown = {id(fit.counted): fit.counted for figure in one.figures for fit in figure.simplest}
    shown |= {id(count): count for count in one.model.counts if count.counter == "macs"}
    for count in shown.values():
        if count.shares:
            parts.append(Text(f"  {COUNTERS[count.counter].title}: {shares(count)}", style="dim"))
    return parts


def _as_returned(convention: Convention) -> bool:
    """Whether a counter returns this figure for the model as built, or it is twice the multiply-adds."""
    returned = convention.twice == (convention.counter.operations == 2)
    return convention.step == TWICE or (convention.step <= OTHER_COUNTER and returned)


def tabulated(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> RenderableType:
    """Return a plain table for a ``rich`` console."""
    table = Table(*titles, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def _short(count: Counted) -> str:
    value = float(count.value or 0)
    unit, scale = next((u, s) for u, s in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)) if value >= s or s == 1)
    return f"{value / scale:.4g} {unit}".strip()


def _against(convention: Convention, asked: AskedFigure) -> tuple[str, str]:
    value = scaled_value(convention, asked)
    off = relative(value, asked.printed.value)
    whole = asked.scale == 1 and value == value.to_integral_value()
    shown = f"{value:.0f}" if whole else show(value, max(asked.printed.decimals + 1, 0))
    return f"{shown} {asked.unit}".strip(), "" if off is None else show_relative(off)


def shares(count: Counted) -> str:
    """Return the shares of the operators or layers of a count, the largest first: ``addmm 82 %, convolution 10 %``."""
    whole = sum(count.shares.values())
    largest = Counter(count.shares).most_common(MOST_SHARES)
    parts = [f"{name} {100 * value / whole:.3g} %" for name, value in largest]
    rest = whole - sum(value for _, value in largest)
    return ", ".join([*parts, *([f"others {100 * rest / whole:.2g} %"] if rest else [])])


def page(found: Mapping[str, Sequence[Explained]]) -> str:
    """Return the explanations of papers as a Markdown page: the same counts give the same bytes."""
    parts = ["# Which convention gives the printed FLOPs?", markdown.escape(f"{OURS} {CHANCE}")]
    parts.append("Written by `bench compare --tables` from the counts that `bench explain PAPER --store` keeps.")
    for paper, models in found.items():
        rows = [row for one in models for row in _page_rows(one)]
        if rows:
            parts += [f"## {markdown.escape(paper)}", *_tally(models)]
            titles = ("Model", "Printed", "Multiply-adds", "Off", "Outcome", "Shares of the multiply-adds")
            cells = [[markdown.escape(cell) for cell in row] for row in rows]
            parts.append(tabulate(cells, titles, tablefmt="pipe", disable_numparse=True))
    return "\n\n".join(parts) + "\n"


def _tally(models: Sequence[Explained]) -> list[str]:
    """Return a line on how many of a paper's figures each convention gives, the most first; none if each gives one."""
    figures = [f for one in models for f in one.figures if f.asked.quantity == "operations"]
    given = Counter(title for figure in figures for title in dict.fromkeys(fit.title for fit in figure.fits))
    several = [f"{title} {times}" for title, times in given.most_common(4) if times > 1]
    return [markdown.escape(f"Of {len(figures)} figures, given by: {'; '.join(several)}.")] if several else []


def _page_rows(one: Explained) -> Iterable[tuple[str, ...]]:
    own = next((count for count in one.model.counts if count.counter == "macs" and not count.change), None)
    for figure in one.figures:
        if figure.asked.quantity == "operations":
            all_of_it = conventions(figure.asked, one.model.counts)
            plain = next((c for c in all_of_it if c.counted.counter == "macs" and not c.twice), None)
            against = _against(plain, figure.asked) if plain is not None else ("not counted", "")
            share = shares(own) if own is not None and own.shares else ""
            yield one.model.model, figure.asked.text, *against, figure.sentence, share
