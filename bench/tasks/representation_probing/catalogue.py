"""The data sets that heads are probed on, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from claimbench.bench.core.task import DataSet


@dataclass(frozen=True)
class ProbedSet(DataSet):
    """A data set of small pictures as it is probed.

    Attributes:
        stored: the side of its pictures as they are read.
        side: the encoder takes them resized to this side.
        training: the number of training pictures to take; None for all.
        classes: their number.
    """

    stored: int = 0
    side: int = 0
    training: int | None = None
    classes: int = 0


_ALL = (
    ProbedSet(
        "elpv",
        "ELPV",
        needs="the package elpv-dataset",
        source="doubtful or worse against good cells, a fixed test part of a quarter",
        has_package=True,
        stored=300,
        side=160,
        classes=2,
    ),
    ProbedSet(
        "fashion-mnist",
        "Fashion-MNIST",
        needs="the folder of its four files",
        source="6,000 training pictures, the official test part",
        has_package=True,
        stored=28,
        side=128,
        training=6000,
        classes=10,
    ),
)

DATASETS: Mapping[str, ProbedSet] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "elpv"
