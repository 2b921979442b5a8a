"""What a paper says of its study, for tables."""

from __future__ import annotations

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Study


def study_of(paper: str) -> Study | None:
    """Return the ``study`` of a paper; None where it is no longer there, for records outlive papers."""
    try:
        return registry.paper(paper).study
    except UserError:
        return None
