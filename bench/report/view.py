"""The part of a report that a reader asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

from claimbench.bench.core.errors import unknown
from claimbench.bench.report import metrics
from claimbench.bench.report.report import Report
from claimbench.bench.report.rows import Row, answer_of, kind_of
from claimbench.bench.report.verdicts import Degree, Verdict

KINDS = ("count", "time", "memory", "energy", "parity", "quality")
"""The kinds of metrics that a reader can ask for, beside metrics by their names."""


@dataclass(frozen=True)
class View:
    """What a reader asks for.

    Attributes:
        all: also rows that no paper reports, and the speeds of every two of a paper's own models.
        methods: also sources, notes in full, and how the figures were measured.
        verdicts: only rows with one of these verdicts or degrees; empty for all.
        metrics: only rows of these metrics or kinds of metrics; empty for all.
    """

    all: bool = False
    methods: bool = False
    verdicts: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @property
    def narrows(self) -> bool:
        """Whether only some verdicts or metrics are asked for."""
        return bool(self.verdicts or self.metrics)

    def check(self) -> None:
        """Refuse names of verdicts and metrics that do not exist.

        Raises:
            UserError: names it, and those that exist.
        """
        verdicts = list(dict.fromkeys((*get_args(Degree), *get_args(Verdict))))
        for name in self.verdicts:
            if name not in verdicts:
                raise unknown("verdict", name, verdicts)
        for name in self.metrics:
            if name not in (*KINDS, *metrics.ROWS, *metrics.QUANTITIES):
                raise unknown("metric", name, (*KINDS, *metrics.ROWS))

    def of(self, report: Report) -> Report:
        """Return the report with the rows and pairs that are asked for."""
        own = set(report.variants)
        foreign = [pair for pair in report.pairs if not {pair.subject(0), pair.subject(1)} <= own]
        pairs = () if self.narrows else report.pairs if self.all else foreign
        return replace(report, rows=tuple(filter(self._shows, report.rows)), pairs=tuple(pairs))

    def _shows(self, row: Row) -> bool:
        if self.verdicts and not {row.verdict, row.degree} & set(self.verdicts):
            return False
        if self.metrics:
            return bool({row.metric, answer_of(row).row, kind_of(row)} & set(self.metrics))
        return self.all or bool(self.verdicts) or bool(row.reported) or row.is_parity


EVERYTHING = View(all=True, methods=True)
"""Shows all rows with all that is known of them."""
