"""The card: one screen that answers whether a paper's figures and claims hold, made from a whole report."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from claimbench.bench.core.rounding import show
from claimbench.bench.papers.registry import short_venue
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import Figure
from claimbench.bench.report.report import ClaimRow, Report
from claimbench.bench.report.rows import Row, answer_of, conditions, kind_of, reported_number
from claimbench.bench.report.speed import TIMES, TimedPair
from claimbench.bench.report.tally import AGREEING, tally
from claimbench.bench.report.verdicts import Degree


@dataclass(frozen=True)
class Cell:
    """A cell of the card's table: text, and the degree whose sign stands behind it; empty for none."""

    text: str = ""
    degree: Degree | Literal[""] = ""


@dataclass(frozen=True)
class CardLine:
    """A variant of the card: its name and a cell for each column."""

    name: str
    cells: tuple[Cell, ...]
    timed: bool


@dataclass(frozen=True)
class Card:
    """One paper's answer.

    Attributes:
        paper: its id.
        title: short name, venue and task.
        place: the device, precision and batch of the times; empty where nothing was measured.
        claims: the paper's claims that were tested, in its order.
        untested: the number of claims that were not.
        columns: titles of the table; a column that nothing fills is not there.
        lines: a line for each variant of which anything was measured, in the paper's order.
        explained: the reasons that account for differences, the most frequent first, one sentence each.
        off: figures that differ and that nothing accounts for, one phrase each.
        missing: figures that were not checked: what, how many and why.
        command: the command that measures the first of ``missing``; empty if none does.
        noisy: how many times are uncertain; empty where none is.
        holds, differing, parity: counts: figures of the paper that hold; that were compared and do not, explained ones
            included; records of the official code that agree, of all that were compared.
    """

    paper: str
    title: str
    place: str
    claims: tuple[ClaimRow, ...]
    untested: int
    columns: tuple[str, ...]
    lines: tuple[CardLine, ...]
    explained: tuple[str, ...]
    off: tuple[str, ...]
    missing: tuple[str, ...]
    command: str
    noisy: str
    holds: int
    differing: int
    parity: tuple[int, int]


def card(report: Report) -> Card:
    """Return the card of a report."""
    own = [row for row in report.rows if row.subject in report.variants]
    judged = [row for row in report.rows if not row.is_parity and row.degree in ("explained", "off")]
    counted = tally(report.rows)
    table = _Table(report, own)
    tested = tuple(claim for claim in report.claims if claim.verdict != "not tested" or claim.evidence)
    return Card(
        paper=report.paper,
        title=" · ".join(part for part in (short_title(report.title), short_venue(report.venue), report.task) if part),
        place=table.place(),
        claims=tested,
        untested=len(report.claims) - len(tested),
        columns=table.columns(),
        lines=table.lines(),
        explained=_reasons(row for row in judged if row.degree == "explained"),
        off=tuple(
            dict.fromkeys(
                f"{row.subject} {row.title}: {_arrow(row)}, {row.detail}" for row in judged if row.degree == "off"
            )
        ),
        missing=_missing(report, table.scores()),
        command=_command(report),
        noisy=_noise(own),
        holds=counted["holds"],
        differing=counted["explained"] + counted["off"],
        parity=(counted["parity"], counted["compared"]),
    )


def short_title(title: str) -> str:
    """Return the name that a title begins with: all before a colon or a comma, or all of it."""
    return re.split(r"[:,]", title)[0].strip()


def first_sentence(text: str, ends: str = ".;") -> str:
    """Return the first sentence of a text, without the full stop; ``ends`` are the signs that end one."""
    return re.split(rf"(?<=[a-z\d%)])[{ends}] ", text, maxsplit=1)[0].rstrip(". ")


class _Table:
    """The table of a card: what was measured of each variant, by column."""

    def __init__(self, report: Report, rows: Sequence[Row]) -> None:
        self._report = report
        self._rows: dict[str, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.subject, []).append(row)
        self._timed = self._times()
        self._against = list(dict.fromkeys(pair.second for pair in self._pairs()))
        self._cells = {name: self._line(name) for name in report.variants if self._is_measured(name)}
        self._used = [any(line[i].text for line in self._cells.values()) for i in range(4 + 1 + len(self._against))]

    def columns(self) -> tuple[str, ...]:
        score = [row.title.split()[-1] for name in self._cells if (row := self._score(name)) is not None]
        unit = next((row.unit for row in self._timed.values()), "")
        fixed = ("parameters M", "MACs G", "parity", score[0] if len(set(score)) == 1 else "score", unit)
        titles = (*fixed, *(f"vs {self._other(name)}" for name in self._against))
        return tuple(title for title, used in zip(titles, self._used, strict=True) if used)

    def lines(self) -> tuple[CardLine, ...]:
        return tuple(
            CardLine(name, tuple(c for c, used in zip(cells, self._used, strict=True) if used), name in self._timed)
            for name, cells in self._cells.items()
        )

    def place(self) -> str:
        timed = [row.figure for row in self._timed.values() if row.figure is not None]
        figures = timed or [row.figure for rows in self._rows.values() for row in rows if row.figure is not None]
        if not figures:
            return ""
        devices = sorted({figure.device for figure in figures})
        settings, batches = timed[0].settings if timed else None, {figure.batch for figure in timed}
        parts = [" and ".join(devices), settings.precision if settings else ""]
        parts.append(f"batch {batches.pop()}" if len(batches) == 1 else "")
        return ", ".join(part for part in parts if part)

    def scores(self) -> set[str]:
        """Return the titles of the scores in the table."""
        return {row.title for name in self._cells if (row := self._score(name)) is not None}

    def _other(self, name: str) -> str:
        """Return the name of a model that is not the paper's own: the paper's name of it, or that of its file."""
        file = name.partition(".py:")[0].rpartition("/")[2].removeprefix("timm:")
        return self._report.baselines.get(name) or ("official" if file.startswith("official") else file)

    def _is_measured(self, name: str) -> bool:
        return any(row.value is not None for row in self._rows.get(name, ()))

    def _times(self) -> dict[str, Row]:
        """Return each variant's throughput: of several that under the most frequent conditions, then the newest."""
        found = [
            row
            for rows in self._rows.values()
            for row in rows
            if row.figure is not None and row.figure.row == "throughput" and row.value is not None
        ]
        kinds = [_kind(row.figure) for row in found if row.figure is not None]
        chosen: dict[str, Row] = {}
        for row in sorted(found, key=lambda r: (kinds.count(_kind(r.figure)), r.figure.run if r.figure else "")):
            chosen[row.subject] = row
        return chosen

    def _pairs(self) -> list[TimedPair]:
        """Return the comparisons with models that are not the paper's own, under the conditions of the times shown."""
        timed = {(row.subject, conditions(row.figure)) for row in self._timed.values() if row.figure is not None}
        return [
            turned
            for pair in self._report.pairs
            if (turned := _variant_first(pair, self._report.variants)) is not None
            and (turned.subject(0), turned.conditions) in timed
            and turned.title == "Throughput"
        ]

    def _line(self, name: str) -> tuple[Cell, ...]:
        rows = self._rows.get(name, [])
        timed = self._timed.get(name)
        return (
            _judged(_answering(rows, "params"), _MILLION),
            _judged(_answering(rows, "macs"), _BILLION),
            _parity(rows),
            _scored(self._score(name)),
            Cell() if timed is None or timed.figure is None else Cell(_time(timed)),
            *(self._ratio(name, other) for other in self._against),
        )

    def _score(self, name: str) -> Row | None:
        """Return the row of a variant's score: a measured one if there is any, else the first that is reported."""
        rows = [r for r in self._rows.get(name, []) if _can_be_scored(r) and (r.reported or r.value is not None)]
        return next((r for r in rows if r.value is not None), rows[0] if rows else None)

    def _ratio(self, name: str, other: str) -> Cell:
        for pair in self._pairs():
            if (pair.subject(0), pair.second) == (name, other):
                return Cell(f"{show(pair.ratio, 1, 2)}{TIMES}" + ("?" if pair.verdict == "ambiguous" else ""))
        return Cell()


def _kind(figure: Figure | None) -> tuple[object, ...]:
    assert figure is not None
    return (figure.settings.precision, figure.settings.mode, figure.batch, figure.device, figure.settings.threads)


def _variant_first(pair: TimedPair, variants: Iterable[str]) -> TimedPair | None:
    """Return a pair of a variant and a model that is not the paper's own, in that order; None for another pair."""
    own = set(variants)
    mine = [pair.subject(index) in own for index in (0, 1)]
    if mine == [True, False]:
        return pair
    return pair.turned() if mine == [False, True] else None


def _answering(rows: Iterable[Row], measured: str) -> Row | None:
    """Return the row of a measured metric: of those that the paper reports the least agreeing one, else the first."""
    found = [row for row in rows if answer_of(row).row == measured and row.value is not None]
    return min(found, key=lambda row: AGREEING.index(row.degree), default=None)


_MILLION, _BILLION = Decimal(10**6), Decimal(10**9)


def _judged(row: Row | None, scale: Decimal) -> Cell:
    """Return a count as reported and measured, both over ``scale``; a figure printed in that unit stays as printed."""
    if row is None or row.figure is None or row.figure.value is None:
        return Cell()
    measured = show(Decimal(row.figure.value) / scale, 2, 4)
    stated = reported_number(row)
    if stated is None:
        return Cell(measured)
    printed = row.reported.split()[0] if answer_of(row).scale == scale else show(stated / scale, 2, 4)
    return Cell(f"{printed} → {measured}", row.degree)


def _parity(rows: Iterable[Row]) -> Cell:
    found = [row for row in rows if row.is_parity and row.value is not None]
    if not found:
        return Cell()
    worst = max(found, key=lambda row: (row.degree != "holds", row.value or 0))
    return Cell(f"{worst.value:.0e}" if worst.value else "0", worst.degree)


def _can_be_scored(row: Row) -> bool:
    """Whether a row is about a score that this suite measures."""
    return kind_of(row) == "quality" and answer_of(row).row in metrics.ROWS


def _scored(row: Row | None) -> Cell:
    if row is None:
        return Cell()
    reported = row.reported.split(" ")[0]
    if row.value is None:
        return Cell(reported, "open")
    measured = show(row.value, 1, 4)
    return Cell(f"{reported} → {measured}" if reported else measured, row.degree if reported else "")


def _time(row: Row) -> str:
    assert row.value is not None
    text = show(row.value, 0, 3)
    if row.low is None or row.high is None or not row.value:
        return text
    return f"{text} \N{PLUS-MINUS SIGN}{100 * max(row.high - row.value, row.value - row.low) / row.value:.0f} %"


def _arrow(row: Row) -> str:
    return f"{row.reported} → {row.measured}" if row.measured else row.reported


def _reasons(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the first reason of each explained row, the most frequent first."""
    found = [first_sentence(row.notes[0]) for row in rows if row.notes]
    return tuple(sorted(dict.fromkeys(found), key=lambda text: -found.count(text)))


def _missing(report: Report, scores: Collection[str]) -> tuple[str, ...]:
    """Return what was reported and not measured, by reason: the scores of the table first, then by number."""
    by_reason: dict[tuple[bool, str], list[str]] = {}
    for row in report.rows:
        if row.verdict == "not measured" and row.reported and not row.is_parity:
            key = (row.title not in scores, first_sentence(row.detail))
            by_reason.setdefault(key, []).append(row.title)
    ordered = sorted(by_reason.items(), key=lambda item: (item[0][0], -len(item[1])))
    return tuple(f"{len(titles)} x {_titles(titles)}: {reason}" for (_, reason), titles in ordered)


def _command(report: Report) -> str:
    """Return the command that measures the paper's scores, if any of them was left out."""
    left = (row for row in report.rows if row.verdict == "not measured" and row.reported)
    if any(map(_can_be_scored, left)):
        return f"bench run {report.paper} --metrics accuracy --weights official --data PATH"
    return ""


def _titles(titles: Sequence[str]) -> str:
    names = list(dict.fromkeys(titles))
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _noise(rows: Iterable[Row]) -> str:
    """Return how many times are uncertain; empty where none is. The rows give the reasons."""
    timed = [row for row in rows if row.figure is not None and row.figure.times]
    noisy = sum(any(note.startswith("noisy: ") for note in row.notes) for row in timed)
    return f"{noisy} of {len(timed)} times are noisy; their intervals say by how much" if noisy else ""
