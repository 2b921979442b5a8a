"""Labelled pictures as data: the layout of a data set, its required content, its scoring.

Only the standard library is imported here: planning a run must load neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from claimbench.bench.core.task import DataSet

Layout = Literal["synsets", "indices", "corruptions", "any", "torchvision", "package"]
"""The marks of a picture's class. ``synsets``: a folder a class, named by its WordNet id. ``indices``: a folder a
class, named by its number. ``corruptions``: folders of ``synsets``, by corruption and severity. ``any``: a folder a
class, in alphabetical order. ``torchvision``: the files that torchvision reads. ``package``: an installed package."""


@dataclass(frozen=True)
class PictureSet(DataSet):
    """A data set of labelled pictures and its published protocol.

    Attributes:
        layout: see :data:`Layout`.
        classes: the number that its models tell apart; None if the folder decides.
        images: the number of pictures in the whole set; None if the folder decides.
        per_class: the number in each class, if all have as many.
        subset: the list of classes that scores are restricted to, by timm's name for it.
        several_labels: whether a picture may have several right answers, or none (it then does not count).
        small: whether its pictures are as small as a model's input: they are then not cropped unless the paper says so.
        names: of the classes, in order, if a table of another data set could be taken for it.
        siblings: the titles of the data sets that a folder may turn out to be, by name; for messages.
    """

    needs: str = "its folder with one sub-folder a class, a .tar of it, or WebDataset shards"
    layout: Layout = "any"
    classes: int | None = None
    images: int | None = None
    per_class: int | None = None
    subset: str = ""
    several_labels: bool = False
    small: bool = False
    names: tuple[str, ...] = ()
    siblings: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def synsets(self) -> bool:
        """Whether the classes are ImageNet's, by WordNet id."""
        return self.layout in ("synsets", "indices", "corruptions")


CORRUPTIONS: Mapping[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""ImageNet-C's corruptions, each with AlexNet's error averaged over the severities, by which its error is divided
(github.com/hendrycks/robustness, ImageNet-C)."""


SEVERITIES = ("1", "2", "3", "4", "5")
