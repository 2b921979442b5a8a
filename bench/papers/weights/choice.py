"""The papers and variants of a weights command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.text import split
from claimbench.bench.papers import registry

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Paper, Variant

Chosen = list[tuple["Paper", tuple["Variant", ...]]]


def choose(papers: Sequence[str], variants: Sequence[str]) -> Chosen:
    """Return papers with their variants: those named, else all. Each item may hold several names, with commas.

    Raises:
        UserError: a name does not exist, or a paper that was named cannot be read.
    """
    asked, wanted = split(papers), split(variants)
    if asked and "all" not in asked:
        found = [registry.paper(name) for name in asked]
    else:
        found = [registry.paper(name) for name, entry in registry.entries().items() if not entry.problem]
    if not found:
        raise UserError("there is no paper that can be read: `bench doctor` says what is wrong")
    if not wanted or "all" in wanted:
        return [(paper, paper.variants) for paper in found]
    known = {variant.name for paper in found for variant in paper.variants}
    for name in wanted:
        if name not in known:
            raise unknown("variant", name, known)
    chosen = [(paper, tuple(v for v in paper.variants if v.name in wanted)) for paper in found]
    return [(paper, some) for paper, some in chosen if some]
