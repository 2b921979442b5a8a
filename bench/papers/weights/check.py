"""Whether the files in the cache are the recorded ones, and whether each loads strictly into its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry
from claimbench.bench.papers.models.state import load_state
from claimbench.bench.papers.weights.fetch import none_published, place_of, verify

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Paper, Variant
    from claimbench.bench.papers.weights.choice import Chosen

FITS, UNRECORDED, FAILED, ABSENT, NONE = "fits", "not recorded", "FAILED", "not here", "none published"


@dataclass(frozen=True)
class WeightsCheck:
    """One variant's weights.

    Attributes:
        paper, variant: the owner of the weights.
        status: ``fits`` (the recorded file, and it loads strictly into the model), ``not recorded`` (it loads, and no
            lock file knows it yet), ``FAILED``, ``not here`` or ``none published``.
        sha256: of the file, if it is the recorded one.
        reason: for a status other than ``fits``, one sentence.
    """

    paper: str
    variant: str
    status: str
    sha256: str = ""
    reason: str = ""


def check(chosen: Chosen, root: Path, on_row: Callable[[WeightsCheck], None] | None = None) -> list[WeightsCheck]:
    """Check the cached files of ``chosen``, in order.

    Args:
        chosen: papers and variants.
        root: the folder of the cache.
        on_row: told of each row as soon as it is there.
    """
    rows = []
    for row in _rows(chosen, root):
        rows.append(row)
        if on_row is not None:
            on_row(row)
    return rows


def _rows(chosen: Chosen, root: Path) -> Iterator[WeightsCheck]:
    for paper, variants in chosen:
        for variant in variants:
            try:
                yield _row(root, paper, variant)
            except UserError as error:
                yield WeightsCheck(paper.id, variant.name, FAILED, reason=str(error))


def _row(root: Path, paper: Paper, variant: Variant) -> WeightsCheck:
    place = place_of(root, paper.id, variant)
    if place is None:
        return WeightsCheck(paper.id, variant.name, NONE, reason=str(none_published(paper.id, variant)))
    if not place.path.is_file():
        return WeightsCheck(paper.id, variant.name, ABSENT, reason=place.by_hand())
    held = verify(place)
    load_strictly(paper, variant, place.path)
    if held is None:
        return WeightsCheck(paper.id, variant.name, UNRECORDED, reason="`bench weights fetch` records it")
    return WeightsCheck(paper.id, variant.name, FITS, held.locked.sha256)


def load_strictly(paper: Paper, variant: Variant, file: Path) -> None:
    """Load a file into the variant's model through the paper's ``official.py``, and let the model go.

    Raises:
        UserError: it cannot be read or does not fit; the sentence names the missing or unexpected weights.
    """
    official = import_module(f"{registry.entry(paper.id).module}.official")
    state = load_state(file)
    try:
        official.from_official(variant.config, state)
    except ValueError as error:
        raise UserError(f"weights file {file} does not fit {variant.name}: {error}") from error
