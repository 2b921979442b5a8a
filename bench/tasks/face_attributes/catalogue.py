"""The data sets of face attributes: CelebA, LFWA and a user's own, with the attributes and the official partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from claimbench.bench.core.task import DataSet

ATTRIBUTES = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose"),
    *("Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses"),
    *("Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks"),
    *("Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick"),
    *("Wearing_Necklace", "Wearing_Necktie", "Young"),
)
"""The 40 attributes in the order of the data sets' files, which is that of the paper's tables."""


@dataclass(frozen=True)
class FaceSet(DataSet):
    """A data set of faces.

    Attributes:
        layout: of its folder: ``celeba`` for its text files, ``lfwa`` for its MATLAB files.
        pictures: the number of test pictures; None if the folder decides.
    """

    layout: str = "celeba"
    pictures: int | None = None


_FILES = "list_attr_celeba.txt, list_eval_partition.txt and identity_CelebA.txt, beside them or in Anno/ and Eval/"

_ALL = (
    FaceSet(
        "celeba",
        "CelebA test",
        needs=f"its folder with img_celeba/ or img_align_celeba/, {_FILES}",
        source="Liu et al., ICCV 2015: accuracy of 40 attributes on the test part of list_eval_partition.txt",
        scored_classes=len(ATTRIBUTES),
        pictures=19_962,
    ),
    FaceSet(
        "lfwa",
        "LFWA test",
        needs="its folder with lfw/, lfw_att_40.mat and indices_train_test.mat",
        source="Liu et al., ICCV 2015: accuracy of 40 attributes on indices_img_test",
        scored_classes=len(ATTRIBUTES),
        layout="lfwa",
    ),
    FaceSet(
        "faces",
        "a folder of faces",
        needs=f"a folder in CelebA's layout: img_celeba/, {_FILES}",
        published=False,
    ),
)

DATASETS: Mapping[str, FaceSet] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "celeba"
