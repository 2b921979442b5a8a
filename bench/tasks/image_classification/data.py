"""The labelled pictures that classifiers are scored on; :mod:`claimbench.bench.data.pictures` opens and reads them."""

from __future__ import annotations

from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.pictures.collection import Pictures
from claimbench.bench.data.pictures.labelled import PictureSet
from claimbench.bench.data.pictures.manifest import checked


def find(dataset: PictureSet, place: str, *, partial: bool = False, listener: Listener = SILENT) -> Pictures:
    """Return the pictures of a data set, each looked at unless that was done before.

    Args:
        dataset: the data set.
        place: its folder or archive, or ``hf:NAME``; empty for an installed package.
        partial: whether less than the whole data set will do.
        listener: told the number of pictures looked at.

    Raises:
        UserError: pictures are missing, damaged or another data set's; one sentence.
    """
    return checked(dataset, place, partial=partial, listener=listener)
