"""Labelled volumes that installed packages bring: heads from nilearn and Debian's mricron-data, nuclei from stardist.

Each is one subject or one field of view, so that all spread over its slabs is spread within one subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.volumes.nifti import Spacing, classes, read_labels, read_volume
from claimbench.bench.data.volumes.slabs import Part, Slab, Slabs

MRICRON = Path("/usr/share/mricron/templates")
"""The folder of Debian's package mricron-data."""

SAGITTAL = (2, 0, 1)
"""The order of axes that turns axial slices into sagittal ones, of which deep structures of both sides span most."""


@dataclass(frozen=True)
class LabelledVolume:
    """A volume and the classes of its voxels.

    Attributes:
        values: (D, H, W) in float32.
        labels: (D, H, W) in uint8, 0 for the background.
        spacing: along each axis in mm; None if the source does not say it.
    """

    values: np.ndarray
    labels: np.ndarray
    spacing: Spacing | None

    def turned(self, order: tuple[int, int, int]) -> LabelledVolume:
        """Return the volume with its axes in another order."""
        spacing = None if self.spacing is None else tuple(self.spacing[axis] for axis in order)
        return LabelledVolume(self.values.transpose(order), self.labels.transpose(order), spacing)  # type: ignore[arg-type]

    def slab(self, axis: int, slab: Slab) -> LabelledVolume:
        """Return a slab of the volume."""
        inside = tuple(slice(slab.start, slab.stop) if each == axis else slice(None) for each in range(3))
        return LabelledVolume(self.values[inside], self.labels[inside], self.spacing)


@dataclass(frozen=True)
class PackagedVolume:
    """A data set of one volume.

    Attributes:
        read: reads it from a folder, or from where its package is installed.
        structures: the number of classes besides the background.
        slabs: its fixed split.
    """

    read: Callable[[Path | None], LabelledVolume]
    structures: int
    slabs: Slabs

    def parts(self, folder: Path | None = None, moved: int = 0) -> dict[Part, list[tuple[Slab, LabelledVolume]]]:
        """Return the slabs of each part.

        Raises:
            UserError: the package is not installed, or a file of it is damaged.
        """
        volume = self.read(folder)
        found: dict[Part, list[tuple[Slab, LabelledVolume]]] = {"train": [], "val": [], "test": []}
        for slab in self.slabs.cut(volume.values.shape[self.slabs.axis], moved):
            found[slab.part].append((slab, volume.slab(self.slabs.axis, slab)))
        return found


FOUR: Mapping[str, tuple[range, ...]] = {
    "cerebellum": (range(91, 117),),
    "basal ganglia": (range(71, 77),),
    "thalamus": (range(77, 79),),
    "hippocampus and amygdala": (range(37, 39), range(41, 43)),
}
"""Regions of the map of Tzourio-Mazoyer et al. (NeuroImage 2002, AAL), both sides of the head together."""

EIGHT: Mapping[str, tuple[range, ...]] = {
    "cerebellum": (range(91, 117),),
    "caudate": (range(71, 73),),
    "putamen and pallidum": (range(73, 77),),
    "thalamus": (range(77, 79),),
    "hippocampus": (range(37, 39),),
    "amygdala": (range(41, 43),),
    "insula": (range(29, 31),),
    "cingulate gyrus": (range(31, 37),),
}

MACAQUE = (55, 193, 2, 54)
"""The four largest regions of the INIA19 map, by their numbers on the left; the right side's are 1000 higher."""


def _installed(folder: Path | None, package: str, inside: str, command: str, what: str) -> Path:
    """Return the folder of a package's files, or the one that is given; the package is not imported."""
    if folder is not None:
        return folder
    found = find_spec(package)
    for place in (found and found.submodule_search_locations) or ():
        if (path := Path(place) / inside).is_dir():
            return path
    raise UserError(f"{what} come with the Python package {package}, which is not installed: {command}")


def brain_tissue(folder: Path | None) -> LabelledVolume:
    """Return the ICBM152 2009a average head of nilearn: 1 grey and 2 white matter, each where its map is the larger one
    and at least a half.

    Raises:
        UserError: it is not here, or is damaged.
    """
    place = _installed(folder, "nilearn", "datasets/data", "pip install --no-deps nilearn", "brain tissues")
    head, grey, white = (
        read_volume(place / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz") for name in ("t1", "gm", "wm")
    )
    least = 0.5 * 255
    labels = np.where(grey.values >= white.values, np.uint8(1), np.uint8(2))
    labels[np.maximum(grey.values, white.values) < least] = 0
    return LabelledVolume(head.values[0], labels[0], head.spacing)


def _mricron(folder: Path | None, head: str, atlas: str, meaning: Mapping[int, int]) -> LabelledVolume:
    place = folder or MRICRON
    for name in (head, atlas):
        if not (place / name).is_file():
            where = f"{place} has no {name}: " if folder else ""
            raise UserError(
                f"{where}brain structures come with Debian's package mricron-data: apt-get install mricron-data, or "
                "give the folder of its templates with --data"
            )
    volume = read_volume(place / head)
    labels, _ = read_labels(place / atlas, meaning)
    if labels.shape != volume.values.shape[1:]:
        raise UserError(f"{place / head} and {place / atlas} are of different size: they are not of one package")
    return LabelledVolume(volume.values[0], labels, volume.spacing).turned(SAGITTAL)


def _aal(groups: Mapping[str, tuple[range, ...]]) -> Callable[[Path | None], LabelledVolume]:
    meaning = dict.fromkeys(range(117), 0)
    for number, ranges in enumerate(groups.values(), 1):
        meaning |= {label: number for span in ranges for label in span}
    return lambda folder: _mricron(folder, "ch2bet.nii.gz", "aal.nii.gz", meaning)


def macaque(folder: Path | None) -> LabelledVolume:
    """Return mricron-data's macaque head with four regions of its own map, both sides together.

    Raises:
        UserError: it is not here, or is damaged.
    """
    numbers = {label: number for number, left in enumerate(MACAQUE, 1) for label in (left, left + 1000)}
    meaning = {label: numbers.get(label, 0) for label in range(2000)}
    return _mricron(folder, "inia19-t1-brain.nii.gz", "inia19-NeuroMaps.nii.gz", meaning)


def _tiff(path: Path) -> np.ndarray:
    """Return the frames (N, H, W) of a TIFF."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            return np.stack([np.asarray(frame) for frame in ImageSequence.Iterator(image)])
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged or missing ({error}): install stardist again") from error


def _nuclei(axes: str) -> Callable[[Path | None], LabelledVolume]:
    def read(folder: Path | None) -> LabelledVolume:
        place = _installed(folder, "stardist", "data/images", "pip install --no-deps stardist", "nuclei")
        values, instances = (_tiff(place / f"{kind}{axes}.tif") for kind in ("img", "mask"))
        labels = classes(np.minimum(instances, 1), {0: 0, 1: 1}, f"mask{axes}.tif")
        return LabelledVolume(values.astype(np.float32), labels, None)

    return read


_SIDE = Slabs(axis=0, width=4, gap=4, start=35, stop=150)
"""From side to side of a head, in slabs so narrow that each part sees each of the deep structures."""

PACKAGED: Mapping[str, PackagedVolume] = {
    "brain-tissue": PackagedVolume(brain_tissue, 2, Slabs(axis=0, width=12, gap=4)),
    "brain-structures": PackagedVolume(_aal(FOUR), len(FOUR), _SIDE),
    "brain-structures-8": PackagedVolume(_aal(EIGHT), len(EIGHT), _SIDE),
    "macaque-structures": PackagedVolume(macaque, len(MACAQUE), replace(_SIDE, start=28, stop=144)),
    "nuclei": PackagedVolume(_nuclei("2d"), 1, Slabs(axis=1, width=96, gap=32)),
    "nuclei-3d": PackagedVolume(_nuclei("3d"), 1, Slabs(axis=1, width=13, gap=3)),
}
"""The data sets by name."""
