"""The pictures that heads are probed on: real data sets in three fixed parts."""

from __future__ import annotations

from pathlib import Path

import torch

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.data.small import fashion_mnist, sets
from claimbench.bench.data.small.sets import PictureTensors
from claimbench.bench.tasks.representation_probing.catalogue import ProbedSet

VALIDATION_SHARE = 0.2
"""The part of the training pictures that settings are chosen on; the test pictures are looked at once, at the end."""


def check_place(dataset: ProbedSet, given: str) -> None:
    """Check that a folder named by the user holds the data set.

    Raises:
        UserError: it does not, or the data set takes no folder.
    """
    if given and dataset.name == "elpv":
        raise UserError("--dataset elpv comes with the package elpv-dataset and takes no --data: leave it out")
    if given:
        fashion_mnist.locate(Path(given), download=False)


def find(dataset: ProbedSet, given: str) -> dict[str, PictureTensors]:
    """Return the training, validation and test pictures.

    Raises:
        UnavailableError: the data set is not on this machine.
        UserError: the path that the user named is not the data set, or is damaged.
    """
    check_place(dataset, given)
    folder = None
    try:
        if dataset.name == "fashion-mnist":
            folder = fashion_mnist.locate(Path(given) if given else None, download=False)
        else:
            sets.locate(dataset.name, None)
    except UserError as error:
        raise UnavailableError(f"needs {dataset.title}: {error}") from error
    train = sets.read(dataset.name, "train", folder, dataset.stored)
    if dataset.training is not None:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(sets.SPLIT_SEED))
        train = train.take(order[: dataset.training])
    parts = sets.split(train.labels, VALIDATION_SHARE)
    return {
        "train": train.take(parts["train"]),
        "validation": train.take(parts["test"]),
        "test": sets.read(dataset.name, "test", folder, dataset.stored),
    }
