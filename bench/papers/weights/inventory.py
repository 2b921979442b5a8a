"""The published weights of each variant, and those of them that are here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from claimbench.bench.papers.weights.fetch import place_of

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Paper, Variant
    from claimbench.bench.papers.weights.choice import Chosen

HERE, ABSENT, BY_HAND, NONE, UNUSABLE = "here", "not here", "by hand", "none published", "no variant"


@dataclass(frozen=True)
class Listed:
    """The weights of one variant.

    Attributes:
        paper, variant: the owner of the weights.
        status: ``here`` (in the cache, not looked into), ``not here`` (can be fetched), ``by hand`` (not here, and only
            a person can fetch them), ``none published``, or ``no variant`` (published for a model that no variant is).
        address: of the publication.
        file: their place in the cache.
        size: in bytes, if it is recorded.
        sha256: as recorded; empty before the first fetch.
        note: further facts for a user.
    """

    paper: str
    variant: str
    status: str
    address: str = ""
    file: str = ""
    size: int | None = None
    sha256: str = ""
    note: str = ""


def listed(chosen: Chosen, root: Path) -> list[Listed]:
    """Return a row for each variant, and for each published file that belongs to none.

    Raises:
        UserError: a lock file is damaged.
    """
    rows = []
    for paper, variants in chosen:
        rows += [_row(root, paper, variant) for variant in variants]
        if variants == paper.variants:
            others = paper.other_checkpoints
            rows += [Listed(paper.id, other.name, UNUSABLE, other.url, note=other.why) for other in others]
    return rows


def _row(root: Path, paper: Paper, variant: Variant) -> Listed:
    place = place_of(root, paper.id, variant)
    if place is None:
        return Listed(paper.id, variant.name, NONE)
    known = place.locked()
    status = HERE if place.path.is_file() else BY_HAND if place.source.kind == "hand" else ABSENT
    return Listed(
        paper=paper.id,
        variant=variant.name,
        status=status,
        address=place.source.address,
        file=str(place.path),
        size=known[0].size if known else None,
        sha256=known[0].sha256 if known else "",
        note=place.source.note,
    )
