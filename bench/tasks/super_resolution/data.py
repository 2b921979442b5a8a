"""Finding the pictures of a set in a folder, as the sets are commonly distributed.

A folder holds the large pictures themselves, or under ``HR``, ``GTmod4``, ``GTmod12``, ``GT`` or ``original``. The
small ones, if they are given, lie under ``LR_bicubic/X4``, ``LRbicx4`` or ``X4`` and bear the same names, with or
without ``x4`` at the end; or all lie under ``image_SRF_4`` as ``..._HR`` and ``..._LR``. If they are not given they
are made by the bicubic convention.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.picture_reader import rgb
from claimbench.bench.tasks.super_resolution import resize, score
from claimbench.bench.tasks.super_resolution.catalogue import LargePictures, packaged

ENDINGS = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
HIGH = ("HR", "GTmod{scale}", "GTmod12", "GT", "original")
LOW = ("LR_bicubic/X{scale}", "LRbicx{scale}", "X{scale}")
_LOW = re.compile(r"(?i)LR|X\d|image_SRF")
_MARKS = r"(?i)([_-]?x{scale}|_SRF_{scale}_[HL]R)$"


@dataclass(frozen=True)
class LargePicture:
    """One picture of a set: its name, its file, and the file of the small picture if that is given."""

    name: str
    high: Path
    low: Path | None


def find(chosen: LargePictures, data: str, scale: int, partial: bool) -> list[LargePicture]:
    """Return the pictures of a set, in the order of their names.

    Raises:
        UserError: the folder is not there, is empty or another set's, or small pictures are missing; one sentence.
    """
    if not data:
        return [LargePicture(path.stem, path, None) for path in packaged(chosen)]
    try:
        folder = _folder(chosen, Path(data))
        high, low = _files(folder, scale)
    except OSError as error:
        raise UserError(f"{error.filename or data} cannot be read ({error.strerror or error})") from error
    if not high:
        kinds = ", ".join(ENDINGS)
        raise UserError(f"{folder} holds no pictures of {chosen.title} ({kinds}), neither itself nor under HR")
    names = {_name(path, scale): path for path in high}
    if len(names) < len(high):
        twice = sorted(path.name for path in high if names[_name(path, scale)] != path)
        raise UserError(f"{folder} has more than one picture for {twice[0]}: keep one of them")
    chosen.check_names(list(names), partial)
    small = {_name(path, scale): path for path in low}
    if len(small) < len(low):
        twice = sorted(path.name for path in low if small[_name(path, scale)] != path)
        raise UserError(f"{folder} has more than one small picture for {twice[0]}: keep one of them")
    if small and (without := sorted(set(names) - set(small))):
        raise UserError(f"{folder} has small pictures for x{scale}, but none for {', '.join(without[:5])}")
    if small and not partial and (alone := sorted(set(small) - set(names))):
        raise UserError(f"{folder} has small pictures for x{scale}, but no large ones for {', '.join(alone[:5])}")
    return [LargePicture(name, path, small.get(name)) for name, path in sorted(names.items())]


def pixels(file: Path) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8; grey ones with three equal channels, as BasicSR has them.

    Raises:
        UserError: it cannot be read, or its colours are neither grey nor RGB; names it.
    """
    return rgb(file, foreign=False)


def load(pair: LargePicture, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the large picture, cut to a multiple of the scale, and the small one, both (H, W, 3) uint8.

    Raises:
        UserError: a picture cannot be read, is too small to be scored, or the two do not fit.
    """
    high = pixels(pair.high)
    height, width = (side // scale for side in high.shape[:2])
    least = -(-score.smallest(scale) // scale) * scale
    if min(height, width) * scale < least:
        raise UserError(
            f"{pair.high} has {high.shape[1]}x{high.shape[0]} pixels: scoring at x{scale} takes at least {least} a side"
        )
    high = high[: height * scale, : width * scale]
    if pair.low is None:
        return high, resize.downscale(high, scale)
    low = pixels(pair.low)
    if low.shape[:2] != (height, width):
        raise UserError(
            f"{pair.low} has {low.shape[1]}x{low.shape[0]} pixels where {width}x{height} belong to {pair.high.name} at "
            f"x{scale}"
        )
    return high, low


def digest(pairs: list[LargePicture]) -> str:
    """Return a digest of the contents of all files, which tells one copy of a set from another."""
    total = hashlib.sha256()
    for pair in pairs:
        for path in (pair.high, pair.low):
            total.update(hashlib.sha256(path.read_bytes()).digest() if path else b"-")
    return total.hexdigest()


def _folder(chosen: LargePictures, data: Path) -> Path:
    """Return the set's folder: the one given, or the one of the set's name within it."""
    if not data.is_dir():
        raise UserError(f"{data} is not a folder: give that of {chosen.title}")
    inner = [path for path in sorted(data.iterdir()) if path.is_dir() and path.name.lower() in chosen.folders]
    return inner[0] if inner else data


def _files(folder: Path, scale: int) -> tuple[list[Path], list[Path]]:
    """Return the large and the small pictures of a set's folder."""
    together = folder / f"image_SRF_{scale}"
    if together.is_dir():
        both = _pictures(together)
        return [p for p in both if p.stem.endswith("_HR")], [p for p in both if p.stem.endswith("_LR")]
    high = next(_existing(folder, HIGH, scale), folder)
    low = next(_existing(folder, LOW, scale), None)
    return _pictures(high), _pictures(low) if low else []


def _existing(folder: Path, names: tuple[str, ...], scale: int) -> Iterator[Path]:
    """Yield the folders that are there, whatever the case of the scale's mark: X4 or x4."""
    for name in names:
        named = name.format(scale=scale)
        yield from (path for path in (folder / named, folder / named.replace("X", "x")) if path.is_dir())


def unused(chosen: LargePictures, data: str, scale: int) -> list[str]:
    """Return the folders of a set that seem to hold small pictures and are not read at this scale."""
    folder = _folder(chosen, Path(data)) if data else None
    if folder is None or next(_existing(folder, LOW, scale), None) or (folder / f"image_SRF_{scale}").is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and _LOW.match(path.name))


def _pictures(folder: Path) -> list[Path]:
    paths = (path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    return sorted(path for path in paths if not path.name.startswith("."))


def _name(path: Path, scale: int) -> str:
    return re.sub(_MARKS.format(scale=scale), "", path.stem)
