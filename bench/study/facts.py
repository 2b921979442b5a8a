"""What a paper says of its study, for tables."""

from __future__ import annotations

from bench import registry
from bench.errors import UserError
from bench.spec import Study


def study_of(paper: str) -> Study | None:
    """Return the ``study`` of a paper; None where it is no longer there, for records outlive papers."""
    try:
        return registry.paper(paper).study
    except UserError:
        return None
