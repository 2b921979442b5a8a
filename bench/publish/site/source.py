"""The source of a site: stored records, the papers and the operators that are installed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine import environment
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.sanitising import link
from claimbench.bench.store.store import Store


@dataclass(frozen=True)
class SiteSource:
    """The source of a site.

    Attributes:
        results: the folder of records.
        papers: the papers to show, measured or not.
        broken: papers whose file is broken, by id, and the reasons.
        listed: the operators (``claimbench.bench.measure.operators.list.OperatorRow``).
        repository: the web address of the code; empty if the checkout has no remote there.
        address: that of the site, with a slash at its end; empty if it is not known.
    """

    results: Path
    papers: Sequence[Paper] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    listed: Sequence[Any] = ()
    repository: str = ""
    address: str = ""

    @classmethod
    def installed(cls, results: Path, address: str = "") -> SiteSource:
        """Return the records of a folder with every paper and operator that is installed.

        Args:
            results: the folder.
            address: of the site; by default that of the repository's GitHub Pages, if it has any.

        Raises:
            UserError: there is no such folder, or the address is none.
        """
        if address and not link(address):
            raise UserError(f"{address!r} is no web address: give one that begins with https://")
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
        repository = web_address(environment.git(Path(), "config", "--get", "remote.origin.url"))
        address = f"{address.rstrip('/')}/" if address else github_pages(repository)
        return cls(results, papers, broken, list_operators(), repository, address)

    def store(self) -> Store:
        """Return a fresh reader of the records."""
        return Store(self.results)

    def with_results(self, results: Path) -> SiteSource:
        """Return the same with other records."""
        return replace(self, results=results)


def web_address(remote: str) -> str:
    """Return the web page of a Git remote, without names and tokens of users; empty for one that is not in the web."""
    found = re.fullmatch(
        r"(?:https?://|ssh://)?(?:[^@/]+@)?([\w.-]+\.[a-z]+)[:/](?:\d+/)?([\w./-]+?)(?:\.git)?/?", remote
    )
    return f"https://{found[1]}/{found[2]}" if found else ""


def github_pages(repository: str) -> str:
    """Return the address of the pages of a repository on GitHub; empty for any other."""
    found = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+)", repository)
    if not found:
        return ""
    owner, name = found[1].lower(), found[2]
    return f"https://{owner}.github.io/" + ("" if name.lower() == f"{owner}.github.io" else f"{name}/")
