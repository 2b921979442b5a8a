"""The check before a run: is the data set whole, and is every file what it must be?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from bench.errors import UserError
from bench.segmentation import reading
from bench.segmentation.catalogue import Masks
from bench.segmentation.layout import Pair, find

Progress = Callable[[int, int], None]


def checked(
    dataset: Masks, data: str, classes: int, *, partial: bool = False, progress: Progress | None = None
) -> tuple[Pair, ...]:
    """Return the pairs of a data set that is what it should be; each file is read once.

    Args:
        dataset: which.
        data: its folder.
        classes: how many the model tells apart.
        partial: whether to go on where pictures of the data set are not there.
        progress: told how many files were read, of how many.

    Raises:
        UserError: something is wrong; one sentence names the file.
    """
    if dataset.classes and classes != len(dataset.classes):
        raise UserError(f"{dataset.title} has {len(dataset.classes)} classes and the model {classes}")
    pairs = find(dataset, data)
    if not pairs:
        raise UserError(f"{data} holds no pictures of {dataset.title}")
    if dataset.pictures and len(pairs) != dataset.pictures and not partial:
        raise UserError(
            f"{data} lists {len(pairs):,} pictures where {dataset.title} has {dataset.pictures:,} "
            "(--partial evaluates what is there)"
        )
    for number, pair in enumerate(pairs):
        reading.both(pair, dataset, classes)
        if progress is not None:
            progress(number + 1, len(pairs))
    return pairs


def digest(pairs: Sequence[Pair]) -> str:
    """Return a digest of the names of the pictures that were looked at."""
    return hashlib.sha256("\n".join(pair.name for pair in pairs).encode(errors="surrogateescape")).hexdigest()
