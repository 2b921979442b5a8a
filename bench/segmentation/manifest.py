"""The check before a run: is the data set whole, and is every file what it must be?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from claimbench.bench.core.errors import UserError
from claimbench.bench.segmentation import reading
from claimbench.bench.segmentation.catalogue import VOID, Masks
from claimbench.bench.segmentation.layout import Pair, find

Progress = Callable[[int, int], None]


def listed(dataset: Masks, data: str, classes: int, *, partial: bool = False) -> tuple[Pair, ...]:
    """Return the pairs of a data set, by name; no file is opened.

    Args:
        dataset: which.
        data: its folder.
        classes: how many the model tells apart.
        partial: whether to go on where pictures of the data set are not there.

    Raises:
        UserError: there are none, or not as many as there must be, or the model has other classes; one sentence.
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
    return pairs


def checked(
    dataset: Masks, data: str, classes: int, *, partial: bool = False, progress: Progress | None = None
) -> tuple[Pair, ...]:
    """Return the pairs of a data set each of whose files is what it should be; arguments as :func:`listed`.

    Args:
        progress: told how many files were read, of how many.

    Raises:
        UserError: something is wrong, or no pixel has a label; one sentence names the file.
    """
    pairs = listed(dataset, data, classes, partial=partial)
    counted = False
    for number, pair in enumerate(pairs):
        labels = reading.both(pair, dataset, classes)[1]
        counted = counted or bool((labels != VOID).any())
        if progress is not None:
            progress(number + 1, len(pairs))
    if not counted:
        raise UserError(f"no pixel counts in the masks of {data}: all of them are void ({VOID}) everywhere")
    return pairs


def digest(pairs: Sequence[Pair]) -> str:
    """Return a digest of the names of the pictures that were looked at."""
    return hashlib.sha256("\n".join(pair.name for pair in pairs).encode(errors="surrogateescape")).hexdigest()


def sizes(pairs: Sequence[Pair]) -> str:
    """Return a digest of the names and the files' sizes: the same for the same pictures and masks."""
    files = [(pair.name, file) for pair in pairs for file in (pair.picture, pair.mask)]
    found = [(name, file.stat().st_size if file.exists() else 0) for name, file in files]
    return hashlib.sha256(repr(found).encode()).hexdigest()
