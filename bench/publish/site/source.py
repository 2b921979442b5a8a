"""The source of a site: stored records, the papers and the operators that are installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.spec import Paper
from claimbench.bench.store.store import Store


@dataclass(frozen=True)
class SiteSource:
    """The source of a site.

    Attributes:
        results: the folder of records.
        papers: the papers to show, measured or not.
        broken: papers whose file is broken, by id, and the reasons.
        listed: the operators (``claimbench.bench.measure.operators.list.OperatorRow``).
    """

    results: Path
    papers: Sequence[Paper] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    listed: Sequence[Any] = ()

    @classmethod
    def installed(cls, results: Path) -> SiteSource:
        """Return the records of a folder with every paper and operator that is installed.

        Raises:
            UserError: there is no such folder.
        """
        if not results.is_dir():
            raise UserError(f"there is no folder {results}: measure with `bench run` first, or name one with --results")
        from claimbench.bench.measure.operators.list import list_operators
        from claimbench.bench.papers import registry

        papers, broken = [], {}
        for name, entry in registry.entries().items():
            try:
                papers.append(registry.paper(name))
            except UserError as error:  # a public page shows no path of this machine
                broken[name] = str(error).replace(f"{entry.folder.parent}/", "")
        return cls(results, papers, broken, list_operators())

    def store(self) -> Store:
        """Return a fresh reader of the records."""
        return Store(self.results)

    def with_results(self, results: Path) -> SiteSource:
        """Return the same with other records."""
        return replace(self, results=results)
