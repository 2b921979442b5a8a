"""Reads NIfTI volumes through nibabel: everything that could be wrong is a sentence that names the file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.text import first_line

ENDINGS = (".nii", ".nii.gz")
INSTALL = "pip install 'claimbench[medical]'"

Spacing = tuple[float, float, float]
"""The distance of neighbouring voxels along each axis, in mm."""


@dataclass(frozen=True)
class Volume:
    """Values (channels, D, H, W) in float32: D from inferior to superior, H posterior to anterior, W left to right.

    ``spacing`` is along D, H and W.
    """

    values: np.ndarray
    spacing: Spacing


def stem(path: Path) -> str:
    """Return a file's name without its ending, which may be double."""
    return next((path.name.removesuffix(end) for end in ENDINGS[::-1] if path.name.endswith(end)), path.stem)


def is_nifti(path: Path) -> bool:
    """Whether a file's name ends as those of NIfTI do."""
    return path.name.endswith(ENDINGS) and path.is_file()


def read_volume(path: Path, channels: int = 1) -> Volume:
    """Return a volume of so many channels; a fourth axis of the file holds those of more than one.

    Raises:
        UserError: nibabel is not installed, or the file is missing, cut off, no NIfTI, of other axes or channels,
            without voxel sizes, or holds values that are not finite; names it.
    """
    values, spacing = _oriented(path, channels)
    values = np.moveaxis(values, -1, 0) if channels > 1 else values[None]
    if not np.isfinite(values).all():
        raise UserError(f"{path} holds values that are not finite numbers")
    return Volume(np.ascontiguousarray(values, np.float32), spacing)


def read_labels(path: Path, meaning: Mapping[int, int]) -> tuple[np.ndarray, Spacing]:
    """Return the classes (D, H, W) in uint8 of a volume of labels, oriented as :func:`read_volume`, and its spacing.

    Args:
        path: the file.
        meaning: the class of each label that it may hold.

    Raises:
        UserError: as :func:`read_volume`, or a value is no label; names the file.
    """
    values, spacing = _oriented(path, 1)
    return classes(values, meaning, str(path)), spacing


def classes(values: np.ndarray, meaning: Mapping[int, int], name: str) -> np.ndarray:
    """Return the class in uint8 of each label.

    Raises:
        UserError: a value is no label; names ``name``, where it stands.
    """
    found = np.unique(values)
    strange = [each for each in found.tolist() if each not in meaning]
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        known = ", ".join(str(each) for each in sorted(meaning))
        raise UserError(f"{name} holds the unknown label {strange[0]:g}{more}: its labels are {known}")
    table = np.array([meaning[int(each)] for each in found], np.uint8)
    return table[np.searchsorted(found, values)]


def _oriented(path: Path, channels: int) -> tuple[np.ndarray, Spacing]:
    """Return the values (D, H, W), or (D, H, W, channels), of a file, and the spacing along D, H and W."""
    try:
        import nibabel
    except ImportError as error:
        raise UserError(f"{path.name} is read by nibabel, which is not installed: {INSTALL}") from error
    axes = 3 if channels == 1 else 4
    wanted = "3-D" if axes == 3 else f"4-D with {channels} channels last"
    try:
        image: Any = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Pair):
            raise UserError(f"{path} is no NIfTI file but {type(image).__name__}: convert it")
        _check_spacing(path, type(image.header))
        shape = image.shape
        if len(shape) != axes or (channels > 1 and shape[3] != channels) or not all(shape):
            raise UserError(f"{path} has the shape {'x'.join(map(str, shape))}: it must be {wanted}")
        image = nibabel.as_closest_canonical(image)
        values = np.asarray(image.dataobj)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise UserError(f"{path} is cut off or is no NIfTI file ({first_line(error)}): fetch it again") from error
    across, along, up = (float(each) for each in image.header.get_zooms()[:3])
    return values.transpose(2, 1, 0, *range(3, axes)), (up, along, across)


def _check_spacing(path: Path, header: Any) -> None:
    """Check the voxel size as the file has it: nibabel puts one in the place of a missing one.

    Raises:
        UserError: it is missing.
    """
    import nibabel

    with nibabel.openers.Opener(str(path)) as file:
        raw = header.from_fileobj(file, check=False)
    sizes = np.asarray(raw["pixdim"][1:4], np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise UserError(f"{path} does not say how large its voxels are (pixdim {', '.join(f'{s:g}' for s in sizes)})")
