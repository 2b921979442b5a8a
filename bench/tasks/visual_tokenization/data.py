"""Finding and reading the examples of a set: pictures, clips and voxels."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.data.pictures.picture_reader import EXTENSIONS, rgb
from claimbench.bench.tasks.visual_tokenization.catalogue import VisualSet

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif")


@dataclass(frozen=True)
class Example:
    """One example of a set: its name below the folder, and its files (frames of a clip, or one)."""

    name: str
    files: tuple[Path, ...]

    def digest(self) -> str:
        """Return a digest of the contents of its files."""
        return "".join(digest(file)[:16] for file in self.files)


def find(dataset: VisualSet, place: str) -> list[Example]:
    """Return the examples of a folder in the order of their names.

    Raises:
        UserError: there is no such folder, or it holds none.
    """
    folder = Path(place)
    if not folder.is_dir():
        raise UserError(f"{place} is no folder: give {dataset.needs}")
    kinds = {"pictures": _pictures, "clips": _clips, "voxels": _voxels}
    try:
        found = sorted(kinds[dataset.kind](folder), key=lambda example: example.name)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be read ({error.strerror or error})") from error
    if not found:
        raise UserError(f"{folder} holds no {dataset.kind}: give {dataset.needs}")
    return found


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    return (path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _pictures(folder: Path) -> Iterator[Example]:
    return (Example(str(path.relative_to(folder)), (path,)) for path in _files(folder, tuple(EXTENSIONS)))


def _clips(folder: Path) -> Iterator[Example]:
    frames: dict[Path, list[Path]] = {}
    for path in _files(folder, tuple(EXTENSIONS)):
        frames.setdefault(path.parent, []).append(path)
    for parent, files in frames.items():
        yield Example(str(parent.relative_to(folder)), tuple(sorted(files)))
    yield from (Example(str(path.relative_to(folder)), (path,)) for path in _files(folder, VIDEOS))


def _voxels(folder: Path) -> Iterator[Example]:
    return (Example(str(path.relative_to(folder)), (path,)) for path in _files(folder, (".npz",)))


def frames(dataset: VisualSet, example: Example) -> np.ndarray:
    """Return a picture, or the frames of a clip, as (T, H, W, 3) uint8, at the set's size.

    Raises:
        UserError: a file cannot be read, or frames of a clip have different sizes; names it.
    """
    if example.files[0].suffix.lower() in VIDEOS:
        read = list(_decoded(example.files[0]))
    else:
        read = [rgb(file) for file in example.files]
    sizes = {frame.shape for frame in read}
    if len(sizes) > 1:
        raise UserError(f"the frames of {example.files[0].parent} have {len(sizes)} different sizes: keep one")
    return np.stack([_at_size(frame, dataset.size) for frame in read])


def _decoded(file: Path) -> Iterator[np.ndarray]:
    """Yield the frames (H, W, 3) of a video.

    Raises:
        UserError: OpenCV is not installed, or it reads no frame of the file.
    """
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"reading {file} needs OpenCV: pip install opencv-python-headless") from error
    video, empty = cv2.VideoCapture(str(file)), True
    while True:
        there, frame = video.read()
        if not there:
            break
        empty = False
        yield np.ascontiguousarray(frame[..., ::-1])
    if empty:
        raise UserError(f"{file} holds no frame that can be read: it is damaged, or no video")


def _at_size(frame: np.ndarray, size: int) -> np.ndarray:
    """Return a frame with its shorter side resized to ``size`` and cropped about the centre; as it is for 0."""
    height, width = frame.shape[:2]
    if not size or height == width == size:
        return frame
    factor = size / min(height, width)
    image = Image.fromarray(frame).resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def voxels(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates (N, 3), int64, and features (N, F), float32 from 0 to 1, of a set of voxels.

    Raises:
        UserError: the file is damaged, lacks an array, or an array has another shape or range; names it.
    """
    file = example.files[0]
    try:
        with np.load(file, allow_pickle=False) as arrays:
            coords, features = arrays["coords"], arrays["features"]
    except KeyError as error:
        raise UserError(f"{file} lacks the array {error.args[0]!r}: it must hold `coords` and `features`") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} cannot be read ({error}): it must be an .npz without pickled objects") from error
    if coords.ndim != 2 or coords.shape[1] != 3 or coords.dtype.kind not in "iu" or not len(coords):
        raise UserError(f"{file}: `coords` must be integers (N, 3), found {coords.dtype} {coords.shape}")
    if features.ndim != 2 or len(features) != len(coords) or features.dtype.kind != "f":
        raise UserError(
            f"{file}: `features` must be floats ({len(coords)}, F), found {features.dtype} {features.shape}"
        )
    if coords.min() < 0 or not (features.min() >= 0 and features.max() <= 1):
        raise UserError(f"{file}: coordinates must not be negative, and features lie between 0 and 1")
    return coords.astype(np.int64), features.astype(np.float32)
