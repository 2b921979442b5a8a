"""Finds the volumes of a data set: in a folder of NIfTI, or in an installed package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.scan import is_hidden
from claimbench.bench.data.volumes.nifti import Spacing, is_nifti, read_labels, read_volume, stem
from claimbench.bench.data.volumes.packaged_volumes import PACKAGED
from claimbench.bench.tasks.medical_segmentation.catalogue import Volumes


@dataclass(frozen=True)
class ScanVoxels:
    """A scan and its truth.

    Attributes:
        values: (channels, D, H, W) in float32.
        labels: (D, H, W) in uint8, 0 for the background.
        spacing: along D, H and W in mm; None if it is not known.
        whole: the values of the scan of which this is a slab; None if this is the whole.
    """

    values: np.ndarray
    labels: np.ndarray
    spacing: Spacing | None
    whole: np.ndarray | None = None


@dataclass(frozen=True)
class MedicalScan:
    """An example: a subject's scan, or a slab of one.

    Attributes:
        name: in messages and records.
        read: reads it, for a model of so many classes.
        files: of which it is made; empty for that of a package.
    """

    name: str
    read: Callable[[int], ScanVoxels]
    files: tuple[Path, ...] = ()


def find(dataset: Volumes, data: str) -> tuple[MedicalScan, ...]:
    """Return the scans of a data set in the order of their names; those of a folder are not opened.

    Raises:
        UserError: the folder is not laid out as the data set is, or a package is missing; one sentence.
    """
    root = Path(data).expanduser() if data else None
    if root is not None and not root.is_dir():
        raise UserError(f"{root} is no folder: give {dataset.needs}" + ("" if dataset.has_package else " with --data"))
    if dataset.layout == "package":
        return tuple(_slabs(dataset, root))
    if root is None:
        raise UserError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    try:
        pairs = dict(_PAIRS[dataset.layout](root, dataset))
    except OSError as error:
        raise UserError(f"{error.filename or root} cannot be read ({error.strerror or error})") from error
    if not pairs:
        raise UserError(f"{root} holds no volumes of {dataset.title}: give {dataset.needs} with --data")
    return tuple(_scan(dataset, name, *pairs[name]) for name in sorted(pairs))


def digest(scans: tuple[MedicalScan, ...]) -> str:
    """Return a digest of the names of the scans and of the sizes of their files."""
    told = [(scan.name, [file.stat().st_size for file in scan.files if file.exists()]) for scan in scans]
    return hashlib.sha256(repr(told).encode(errors="surrogateescape")).hexdigest()


Pairs = Iterator[tuple[str, tuple[Path, Path]]]
"""Names of subjects, each with its picture and its truth."""


def _folder(root: Path, dataset: Volumes) -> Pairs:
    return _beside(root, "images", "labels", dataset)


def _decathlon(root: Path, dataset: Volumes) -> Pairs:
    return _beside(root, "imagesTr", "labelsTr", dataset)


def _beside(root: Path, images: str, labels: str, dataset: Volumes) -> Pairs:
    """Yield the pictures of one folder, each with the truth of its name in another."""
    for name in (images, labels):
        if not (root / name).is_dir():
            raise UserError(f"{root} has no folder {name}: give {dataset.needs} with --data")
    truths = {stem(file): file for file in _niftis(root / labels)}
    for file in _niftis(root / images):
        name = stem(file)
        yield name, (file, truths.pop(name, root / labels / file.name))
    for file in truths.values():
        raise UserError(f"the labels {file} have no volume of their name in {root / images}: add it, or remove them")


def _hvsmr(root: Path, dataset: Volumes) -> Pairs:
    """Yield the pictures X at any depth, each with the truth X-label, which may lie in another folder."""
    files = {stem(file): file for file in sorted(root.rglob("*.nii*")) if is_nifti(file) and not is_hidden(file.name)}
    for name, file in files.items():
        if name.endswith("-label"):
            continue
        truth = files.get(f"{name}-label")
        if truth is None:
            raise UserError(f"{file} has no labels: give {name}-label.nii.gz beside it")
        yield name, (file, truth)


_PAIRS: dict[str, Callable[[Path, Volumes], Pairs]] = {"folder": _folder, "hvsmr": _hvsmr, "decathlon": _decathlon}


def _niftis(folder: Path) -> list[Path]:
    """Return the NIfTI files of a folder.

    Raises:
        UserError: two have one name.
    """
    files = [file for file in sorted(folder.iterdir()) if is_nifti(file) and not is_hidden(file.name)]
    names: dict[str, Path] = {}
    for file in files:
        if (other := names.setdefault(stem(file), file)) != file:
            raise UserError(f"{other} and {file.name} have one name: remove one of them")
    return files


def _scan(dataset: Volumes, name: str, picture: Path, truth: Path) -> MedicalScan:
    def read(classes: int) -> ScanVoxels:
        volume = read_volume(picture, dataset.channels)
        labels, spacing = read_labels(truth, dataset.meaning(classes))
        if labels.shape != volume.values.shape[1:]:
            own, other = ("x".join(map(str, shape[::-1])) for shape in (volume.values.shape[1:], labels.shape))
            raise UserError(f"the volume {picture} has {own} voxels and its labels {truth} {other}")
        if not np.allclose(spacing, volume.spacing, rtol=1e-3):
            raise UserError(f"the volume {picture} and its labels {truth} have voxels of different size")
        return ScanVoxels(volume.values, labels, spacing)

    return MedicalScan(name, read, (picture, truth))


def _slabs(dataset: Volumes, root: Path | None) -> Iterator[MedicalScan]:
    packaged = PACKAGED[dataset.name]
    volume = packaged.read(root)
    for slab in packaged.slabs.cut(volume.values.shape[packaged.slabs.axis]):
        if slab.part == "test":
            part = volume.slab(packaged.slabs.axis, slab)
            found = ScanVoxels(part.values[None], part.labels, part.spacing, volume.values[None])
            yield MedicalScan(f"slices {slab.start} to {slab.stop - 1}", partial(_given, found))


def _given(found: ScanVoxels, classes: int) -> ScanVoxels:
    return found
