"""The setting of a study: the one recipe, and the share of it that each effort runs on each data set.

Nothing here depends on the paper, so that a difference between two arms is a difference between their blocks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from claimbench.bench.core.errors import unknown

Effort = Literal["quick", "default", "full"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
BASELINES = ("resnet18",)
"""Networks that train alone, to show the worth of the recipe."""

BASELINE_SEEDS = 2
"""The seeds of a baseline unless the user gives others: nothing is compared with it, and it is many times as large."""


@dataclass(frozen=True)
class StudyDataSet:
    """The facts about a data set before any of it is read.

    Attributes:
        classes: their number.
        about: the origin of its test part, one sentence.
    """

    classes: int
    about: str


KNOWN = {
    "fashion-mnist": StudyDataSet(10, "Fashion-MNIST's own test set of 10,000 pictures"),
    "digits": StudyDataSet(
        10, "scikit-learn's digits have no test set: a quarter of each class, drawn once for all, is it"
    ),
    "elpv": StudyDataSet(
        2,
        "ELPV's labels are probabilities of a defect: above one half counts as defective. It has no test set of its "
        "own: as in its paper (Deitsch et al., arXiv 1807.02894) a quarter is it (654 of 2,624 cells), here drawn once "
        "for all from each probability and kind of cell",
    ),
}
DATASETS = tuple(KNOWN)


@dataclass(frozen=True)
class Setting:
    """Everything that two arms of a study share.

    Attributes:
        effort: ``quick``, ``default`` or ``full``.
        dataset: a name of :data:`DATASETS`.
        size: the side of the picture in pixels, after resizing if the data set is larger.
        stride: of the stem; the first stage works on maps of side ``size / stride``, each further one on half of it.
        dims: the channels of each stage.
        depths: the blocks of each stage.
        mlp_ratio: hidden width of the MLP over the channels, in the block's arm; the counterpart's is chosen so that
            the parameters agree.
        samples: training pictures a seed, drawn anew by each seed; None for all that validation leaves.
        validation: pictures split off the training data to watch the training; no decision rests on them.
        epochs, batch: the length, and the pictures of a step.
        seeds: the number of trainings of each arm unless the user gives another.
        learning_rate: the peak, after a linear warm-up over the share ``warmup`` of all steps; then a cosine to zero.
        weight_decay: of AdamW, on matrices and kernels only.
        label_smoothing, clip: of the cross-entropy; the largest norm of the gradient.
        shift: largest random shift in pixels; zeros come in.
        flip: ``horizontal``, ``both`` or ``none``.
        erasing: the chance that a random rectangle of a picture is erased.
        ema: the span of the exponential moving average of the weights, as a share of all steps; that average is
            validated and tested.
    """

    effort: Effort
    dataset: str
    size: int
    stride: int
    dims: tuple[int, ...]
    depths: tuple[int, ...]
    samples: int | None
    validation: int
    epochs: int
    seeds: int
    mlp_ratio: float = 4.0
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    clip: float = 1.0
    shift: int = 2
    flip: str = "horizontal"
    erasing: float = 0.25
    ema: float = 0.05

    def to_json(self) -> dict[str, Any]:
        """Return the setting as plain data."""
        return {**asdict(self), "dims": list(self.dims), "depths": list(self.depths)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Setting:
        """Return the setting that :meth:`to_json` turned into ``data``."""
        return cls(**{**data, "dims": tuple(data["dims"]), "depths": tuple(data["depths"])})

    def sides(self) -> tuple[int, ...]:
        """Return the side of the maps of each stage."""
        side, found = -(-self.size // self.stride), []
        for _ in self.dims:
            found.append(side)
            side = -(-side // 2)
        return tuple(found)

    def says(self) -> str:
        """Return the setting in words, one line."""
        shown = "all" if self.samples is None else f"{self.samples}"
        return (
            f"{self.effort}: {shown} training pictures of {self.size} x {self.size}, {self.epochs} epochs of batch "
            f"{self.batch}, stages of {', '.join(map(str, self.dims))} channels and {', '.join(map(str, self.depths))} "
            f"blocks on maps of side {', '.join(map(str, self.sides()))}"
        )


# A few hundred steps call for a higher rate, and do not come to fit the training pictures too well: nothing is erased.
_QUICK = {
    "effort": "quick",
    "learning_rate": 4e-3,
    "erasing": 0.0,
    "dims": (32, 64),
    "depths": (1, 1),
    "mlp_ratio": 2.0,
    "seeds": 5,
}
_DEFAULT = {"effort": "default", "dims": (64, 128, 256), "depths": (2, 2, 2), "seeds": 5}
_FULL = {"effort": "full", "dims": (64, 128, 256), "depths": (2, 2, 2), "seeds": 10}
_FASHION = {"dataset": "fashion-mnist", "size": 28, "validation": 5000}
_DIGITS = {"dataset": "digits", "size": 8, "stride": 1, "samples": None, "validation": 200, "shift": 1, "flip": "none"}
_ELPV = {"dataset": "elpv", "stride": 4, "samples": None, "validation": 200, "shift": 4, "flip": "both", "batch": 32}

_SETTINGS: tuple[dict[str, Any], ...] = (
    {**_QUICK, **_FASHION, "stride": 2, "samples": 10_000, "validation": 1000, "epochs": 2, "batch": 64},
    {**_DEFAULT, **_FASHION, "stride": 1, "samples": None, "epochs": 30},
    {**_FULL, **_FASHION, "stride": 1, "samples": None, "epochs": 100},
    {**_QUICK, **_DIGITS, "epochs": 15, "batch": 32},
    {**_DEFAULT, **_DIGITS, "dims": (64, 128), "depths": (2, 2), "epochs": 60, "batch": 64},
    {**_FULL, **_DIGITS, "dims": (64, 128), "depths": (2, 2), "epochs": 200, "batch": 64},
    {**_QUICK, **_ELPV, "size": 80, "epochs": 10},
    {**_DEFAULT, **_ELPV, "size": 128, "epochs": 100},
    {**_FULL, **_ELPV, "size": 128, "epochs": 300},
)


def setting(effort: Effort, dataset: str, epochs: int | None = None) -> Setting:
    """Return the setting of an effort on a data set, with another number of epochs if one is given.

    Raises:
        UserError: there is no such data set.
    """
    if dataset not in DATASETS:
        raise unknown("data set", dataset, DATASETS)
    found = next(Setting(**s) for s in _SETTINGS if (s["effort"], s["dataset"]) == (effort, dataset))
    return found if epochs is None else replace(found, epochs=epochs)
