"""The pictures that heads are probed on: real data sets in three fixed parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.data.small import fashion_mnist, sets
from claimbench.bench.data.small.sets import PictureTensors

VALIDATION_SHARE = 0.2
"""The part of the training pictures that settings are chosen on; the test pictures are looked at once, at the end."""


@dataclass(frozen=True)
class PictureSet:
    """A data set as it is probed.

    Attributes:
        title: its name in sentences.
        stored: the side of its pictures as they are read.
        side: what they are resized to for the encoder.
        training: how many training pictures are taken; None for all.
        classes: how many classes there are.
    """

    title: str
    stored: int
    side: int
    training: int | None
    classes: int


SETS: Mapping[str, PictureSet] = {
    "elpv": PictureSet("ELPV", 300, 160, None, 2),
    "fashion-mnist": PictureSet("Fashion-MNIST", 28, 128, 6000, 10),
}


def check(name: str, given: str) -> None:
    """Check that a folder named by the user holds the data set.

    Raises:
        UserError: it does not, or the data set takes no folder.
    """
    if given and name == "elpv":
        raise UserError("--dataset elpv comes with the package elpv-dataset and takes no --data: leave it out")
    if given:
        fashion_mnist.locate(Path(given), download=False)


def read(name: str, given: str) -> dict[str, PictureTensors]:
    """Return the training, validation and test pictures.

    Raises:
        UnavailableError: the data set is not on this machine.
        UserError: what the user named is not it, or is damaged.
    """
    check(name, given)
    folder = None
    try:
        if name == "fashion-mnist":
            folder = fashion_mnist.locate(Path(given) if given else None, download=False)
        else:
            sets.locate(name, None)
    except UserError as error:
        raise UnavailableError(f"needs {SETS[name].title}: {error}") from error
    chosen = SETS[name]
    train = sets.read(name, "train", folder, chosen.stored)
    if chosen.training is not None:
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(sets.SPLIT_SEED))
        train = train.take(order[: chosen.training])
    parts = sets.split(train.labels, VALIDATION_SHARE)
    return {
        "train": train.take(parts["train"]),
        "validation": train.take(parts["test"]),
        "test": sets.read(name, "test", folder, chosen.stored),
    }
