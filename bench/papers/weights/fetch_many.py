"""Fetching many variants' weights one after the other; a failure does not keep the others from coming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.weights.fetch import none_published

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Variant
    from claimbench.bench.papers.weights.choice import Chosen
    from claimbench.bench.papers.weights.fetch import Fetcher


@dataclass(frozen=True)
class Fetched:
    """The result of a fetch of one variant's weights.

    Attributes:
        paper, variant: the owner of the weights.
        news: ``fetched``, ``recorded``, ``verified``, or ``failed``.
        file, sha256, size, lock: the file, its digest, its bytes and the lock file that records it; empty if failed.
        reason: for the failure, one sentence.
    """

    paper: str
    variant: str
    news: str
    file: str = ""
    sha256: str = ""
    size: int = 0
    lock: str = ""
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the file is here and verified."""
        return self.news != "failed"


def fetch_all(
    fetcher: Fetcher, chosen: Chosen, *, every: bool, on_row: Callable[[Fetched], None] | None = None
) -> list[Fetched]:
    """Fetch the weights of ``chosen``, in order.

    Args:
        fetcher: brings them.
        chosen: papers and variants.
        every: whether a variant without published weights is a failure; else it is left out.
        on_row: told of each row as soon as it is there.

    Raises:
        UserError: none of them has published weights.
    """
    wanted = [(paper.id, v) for paper, variants in chosen for v in variants if every or v.checkpoint is not None]
    if not wanted:
        raise UserError(str(none_published(chosen[0][0].id, chosen[0][1][0])))
    rows = []
    for paper, variant in wanted:
        rows.append(_one(fetcher, paper, variant))
        if on_row is not None:
            on_row(rows[-1])
    return rows


def _one(fetcher: Fetcher, paper: str, variant: Variant) -> Fetched:
    try:
        held = fetcher.fetch(paper, variant)
    except UserError as error:
        return Fetched(paper, variant.name, "failed", reason=str(error))
    locked = held.locked
    return Fetched(paper, variant.name, held.news, str(held.path), locked.sha256, locked.size, str(held.lock))
