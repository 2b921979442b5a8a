"""Reads LFWA: 40 attributes and the partition in MATLAB files, which may be of the version that is HDF5 inside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.face_attributes.catalogue import ATTRIBUTES, FaceSet
from claimbench.bench.tasks.face_attributes.faces import PARTS, Faces, apart, check_name

_IMAGES = {"train": "indices_img_train", "test": "indices_img_test"}


def lfwa(dataset: FaceSet, root: Path, part: str) -> Faces:
    """Return the faces of one part.

    Raises:
        UserError: a file is missing or damaged, or needs a package that is not installed; one sentence.
    """
    if part not in _IMAGES:
        raise UserError(f"{dataset.title} has the parts {' and '.join(_IMAGES)}, and no {part}")
    file, split = root / "lfw_att_40.mat", root / "indices_train_test.mat"
    found, indices = _matlab(dataset, file), _matlab(dataset, split)
    try:
        titles, names = _texts(found["AttrName"]), tuple(_posix(name) for name in _texts(found["name"]))
        labels = np.asarray(found["label"])
        places = {each: np.asarray(indices[key]).astype(np.int64).ravel() - 1 for each, key in _IMAGES.items()}
    except KeyError as error:
        raise UserError(f"{file} or {split} has no {error}: give {dataset.needs} with --data") from error
    if {title.lower() for title in titles} != {title.lower() for title in ATTRIBUTES}:
        raise UserError(f"{file} must name the {len(ATTRIBUTES)} attributes of CelebA, found {len(titles)} names")
    labels = labels if labels.shape[0] == len(names) else labels.T
    if labels.shape != (len(names), len(titles)) or not np.isin(labels, (0, 1)).all():
        raise UserError(
            f"{file} must hold a label of 0 or 1 for each of {len(names):,} faces and {len(titles)} attributes"
        )
    for name in names:
        check_name(file, name)
    _check_places(split, places, names)
    by_name = {title.lower(): column for column, title in enumerate(titles)}
    ordered = labels[:, [by_name[title.lower()] for title in ATTRIBUTES]].astype(bool)
    folder = next((root / inside for inside in ("lfw", "lfw-deepfunneled", "img") if (root / inside).is_dir()), None)
    if folder is None:
        raise UserError(f"{root} has no folder lfw: give {dataset.needs} with --data")
    return Faces(names, tuple(folder / name for name in names), ordered).chosen(places[part].tolist())


def _check_places(split: Path, places: Mapping[str, np.ndarray], names: tuple[str, ...]) -> None:
    """Check that the numbers of faces exist, and that no person (a folder) is in both parts."""
    both = np.concatenate(list(places.values()))
    if len(both) and not 0 <= both.min() <= both.max() < len(names):
        raise UserError(
            f"{split} must number faces from 1 to {len(names):,}, found {both.min() + 1} to {both.max() + 1}"
        )
    people = np.unique([str(Path(names[i]).parent) for i in both], return_inverse=True)[1]
    apart(split, people, np.repeat([PARTS.index(part) for part in places], [len(each) for each in places.values()]))


def _posix(name: str) -> str:
    return PureWindowsPath(name).as_posix()


def _matlab(dataset: FaceSet, file: Path) -> Mapping[str, Any]:
    """Return the variables of a MATLAB file."""
    from scipy.io import loadmat

    if not file.is_file():
        raise UserError(f"{file} is not there: give {dataset.needs} with --data")
    try:
        return dict(loadmat(str(file)))
    except NotImplementedError:
        return _hdf5(file)
    except Exception as error:  # whatever scipy's reader finds wrong
        raise UserError(f"{file} cannot be read ({error})") from error


def _hdf5(file: Path) -> Mapping[str, Any]:
    """Return the variables of a MATLAB file of version 7.3: numbers are transposed, texts are references."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"{file} is HDF5 inside: reading it needs h5py, `pip install h5py`") from error
    try:
        with h5py.File(file) as opened:
            return {name: _variable(opened, node) for name, node in opened.items() if isinstance(node, h5py.Dataset)}
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error})") from error


def _variable(opened: Any, node: Any) -> Any:
    values = node[()]
    if values.dtype != object:
        return values.T
    return ["".join(map(chr, opened[reference][()].ravel())) for reference in values.ravel()]


def _texts(cells: Any) -> list[str]:
    """Return the texts of a cell array."""
    return [str(cell.item() if isinstance(cell, np.ndarray) else cell).strip() for cell in np.ravel(_unpacked(cells))]


def _unpacked(cells: Any) -> Any:
    array = np.asarray(cells)
    return array if array.dtype != object else [np.ravel(cell)[0] if np.size(cell) else "" for cell in array.ravel()]
