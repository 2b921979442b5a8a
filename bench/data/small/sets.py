"""The real data sets of the studies, as tensors. The test part is read by its own call, once, when training is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.small import fashion_mnist
from claimbench.bench.data.small.fashion_mnist import Part

SPLIT_SEED = 0
"""The seed of the fixed test parts of the data sets that come without one. It is never varied."""

TEST_SHARE = 0.25

DEFECT = 2
"""The degree of doubt, of ELPV's 0 to 3, from which on a cell counts as defective."""


@dataclass(frozen=True)
class PictureTensors:
    """Grey pictures (N, 1, H, W) as uint8 and their labels (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def take(self, index: Tensor) -> PictureTensors:
        """Return the pictures at ``index``."""
        return PictureTensors(self.images[index], self.labels[index])


class Packaged(NamedTuple):
    """A whole data set of a package: pictures as :class:`PictureTensors` has them, classes, and strata.

    A split keeps the strata in proportion.
    """

    images: Tensor
    classes: Tensor
    strata: Tensor


def locate(name: str, given: Path | None) -> Path | None:
    """Return the folder to read a data set from (``given``, if any); None if it comes as a Python package.

    Raises:
        UserError: it is not here; says the remedy.
    """
    if name == "fashion-mnist":
        return fashion_mnist.locate(given)
    PACKAGED[name]()
    return None


def read(name: str, part: Part, folder: Path | None, size: int) -> PictureTensors:
    """Return one part of a data set, its pictures resized to ``size`` if they are larger.

    Raises:
        UserError: it is missing or damaged.
    """
    if name == "fashion-mnist":
        found = PictureTensors(*fashion_mnist.read(folder or fashion_mnist.locate(None), part))
    else:
        whole = PACKAGED[name]()
        index = split(whole.strata, TEST_SHARE)[part]
        labels = (whole.classes >= DEFECT).long() if name == "elpv" else whole.classes
        found = PictureTensors(whole.images[index], labels[index])
    return PictureTensors(_resized(found.images, size), found.labels)


def split(strata: Tensor, share: float) -> dict[Part, Tensor]:
    """Return the fixed indices of the training and the test part: the same share of every stratum."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    parts: dict[Part, list[Tensor]] = {"train": [], "test": []}
    for stratum in strata.unique():
        members = (strata == stratum).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        cut = round(len(members) * share)
        parts["test"].append(members[:cut])
        parts["train"].append(members[cut:])
    return {part: torch.cat(found).sort().values for part, found in parts.items()}


def digits() -> Packaged:
    """Return scikit-learn's digits; a stratum is a class."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError("the digits come with scikit-learn, which is not here: pip install scikit-learn") from error
    found = load_digits()
    labels = torch.from_numpy(found.target).long()
    return Packaged(torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)[:, None], labels, labels)


def elpv() -> Packaged:
    """Return ELPV's solar cells; classes are four degrees of doubt, a stratum is a degree and a kind of cell."""
    try:
        from elpv_dataset.utils import load_dataset
    except ImportError as error:
        raise UserError("ELPV comes as a Python package, which is not here: pip install elpv-dataset") from error
    images, probability, kind = load_dataset()
    doubt = torch.tensor(probability.tolist()).mul(3).round().long()  # 0, 1/3, 2/3 and 1
    poly = torch.tensor([name == "poly" for name in kind]).long()
    return Packaged(torch.from_numpy(images)[:, None], doubt, doubt * 2 + poly)


PACKAGED: dict[str, Callable[[], Packaged]] = {"digits": digits, "elpv": elpv}
"""Readers of the data sets that come with an installed package."""


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    pieces = [
        F.interpolate(piece.float(), (size, size), mode="area").round().to(torch.uint8) for piece in images.split(256)
    ]
    return torch.cat(pieces)
