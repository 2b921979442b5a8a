"""The data sets of medical segmentation, as data: their structures, labels and folders.

Only the standard library is imported here: planning a run must load neither torch nor numpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from claimbench.bench.core.task import DataSet

Layout = Literal["folder", "hvsmr", "decathlon", "package"]


@dataclass(frozen=True)
class Volumes(DataSet):
    """A data set of labelled volumes.

    Attributes:
        layout: of its folder; see :mod:`claimbench.bench.tasks.medical_segmentation.data`. A ``package`` is one volume
            of an installed package, whose fixed test slabs are scored.
        structures: the names of the classes from 1 on; empty if the model decides.
        labels: the class of each label in the files; empty if that is the label itself.
        channels: of the pictures, such as the sequences of an MRI.
        unit: the name of one example, over which means and spreads are taken.
        part: what is scored, for tables; empty for all.
        sized: whether the size of voxels is known, so that there are distances in mm.
        cuts: whether two cuts of the intensity are scored beside a network, since they nearly solve it.
    """

    layout: Layout = "folder"
    structures: tuple[str, ...] = ()
    labels: Mapping[int, int] = field(default_factory=dict)
    channels: int = 1
    unit: str = "subject"
    part: str = ""
    sized: bool = True
    cuts: bool = False

    def meaning(self, classes: int) -> dict[int, int]:
        """Return the class of each label that a file may hold, for a model of so many classes."""
        return dict(self.labels) or {label: label for label in range(classes)}

    def names(self, classes: int) -> tuple[str, ...]:
        """Return the names of the structures for a model of so many classes."""
        return self.structures or tuple(f"structure {number}" for number in range(1, classes))


def slug(structure: str) -> str:
    """Return the name of a structure as rows have it."""
    return re.sub(r"[^a-z0-9]+", "_", structure.lower()).strip("_")


_ONE_HEAD = "fixed slabs of one head with gaps between them: their spread is not that of subjects"
_ONE_FIELD = "fixed slabs of one field of view with gaps between them: their spread is not that of pictures"

_ALL = (
    Volumes(
        "chaos",
        "CHAOS MRI",
        needs="a folder of images/ and labels/ with a NIfTI of one name for each subject; labels 63, 126, 189, 252",
        source="Kavur et al., MedIA 2021: T1-DUAL in phase",
        structures=("liver", "kidney_right", "kidney_left", "spleen"),
        labels={0: 0, 63: 1, 126: 2, 189: 3, 252: 4},
        scored_classes=5,
    ),
    Volumes(
        "hvsmr",
        "HVSMR 2016",
        needs="a folder with NIfTI X and X-label for each subject",
        source="Pace et al., MICCAI 2015: axial cardiovascular MRI",
        layout="hvsmr",
        structures=("myocardium", "blood_pool"),
        labels={0: 0, 1: 1, 2: 2},
        scored_classes=3,
    ),
    Volumes(
        "msd_brain",
        "MSD brain tumours",
        needs="the folder Task01_BrainTumour with imagesTr and labelsTr",
        source="Antonelli et al., Nature Communications 2022: Medical Segmentation Decathlon, task 1 (BraTS 2016/17)",
        prefix="brats",
        layout="decathlon",
        structures=("edema", "non_enhancing_tumour", "enhancing_tumour"),
        labels={0: 0, 1: 1, 2: 2, 3: 3},
        channels=4,
        scored_classes=4,
    ),
    Volumes(
        "volumes",
        "a folder of volumes",
        needs="a folder of images/ and labels/ with a NIfTI of one name for each subject; labels are class numbers",
        published=False,
    ),
    Volumes(
        "brain-tissue",
        "brain tissues (ICBM152)",
        needs="the Python package nilearn: pip install --no-deps nilearn",
        source=f"nilearn: average T1 and tissue maps at 1 mm, a tissue where its map is at least a half; {_ONE_HEAD}; "
        "easy: two cuts of the intensity reach a Dice of 96 %",
        has_package=True,
        published=False,
        layout="package",
        structures=("grey matter", "white matter"),
        unit="slab",
        part="the test slabs of one average head",
        cuts=True,
    ),
    Volumes(
        "brain-structures",
        "brain structures (ch2, AAL)",
        needs="Debian's package mricron-data: apt-get install mricron-data, or the folder of its templates",
        source=f"mricron-data: T1 of one person at 1 mm, regions of the AAL map in four groups; {_ONE_HEAD}",
        has_package=True,
        published=False,
        layout="package",
        structures=("cerebellum", "basal ganglia", "thalamus", "hippocampus and amygdala"),
        unit="slab",
        part="the test slabs of one head",
    ),
    Volumes(
        "brain-structures-8",
        "eight brain structures (ch2, AAL)",
        needs="Debian's package mricron-data: apt-get install mricron-data, or the folder of its templates",
        source=f"mricron-data: T1 of one person at 1 mm, regions of the AAL map in eight groups; {_ONE_HEAD}",
        has_package=True,
        published=False,
        layout="package",
        structures=(
            *("cerebellum", "caudate", "putamen and pallidum", "thalamus"),
            *("hippocampus", "amygdala", "insula", "cingulate gyrus"),
        ),
        unit="slab",
        part="the test slabs of one head",
    ),
    Volumes(
        "macaque-structures",
        "macaque brain regions (INIA19)",
        needs="Debian's package mricron-data: apt-get install mricron-data, or the folder of its templates",
        source=f"mricron-data: T1 of a macaque at 0.5 mm, the four largest regions of its map; {_ONE_HEAD}",
        has_package=True,
        published=False,
        layout="package",
        structures=("region 55", "region 193", "region 2", "region 54"),
        unit="slab",
        part="the test slabs of one head",
    ),
    Volumes(
        "nuclei",
        "nuclei, a picture",
        needs="the Python package stardist: pip install --no-deps stardist",
        source=f"stardist: a picture of 512x512 with 125 nuclei; {_ONE_FIELD}",
        has_package=True,
        published=False,
        layout="package",
        structures=("nucleus",),
        unit="slab",
        part="the test slabs of one picture",
        sized=False,
    ),
    Volumes(
        "nuclei-3d",
        "nuclei, a volume",
        needs="the Python package stardist: pip install --no-deps stardist",
        source=f"stardist: a volume of 31x61x57 with nuclei; {_ONE_FIELD}",
        has_package=True,
        published=False,
        layout="package",
        structures=("nucleus",),
        unit="slab",
        part="the test slabs of one volume",
        sized=False,
    ),
)

DATASETS: Mapping[str, Volumes] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "chaos"
