"""Opens the picture files of data sets; what is wrong with one is said in one sentence that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from claimbench.bench.core.errors import UserError

DEEP = frozenset(("I", "I;16", "I;16L", "I;16B", "I;16N", "F"))
"""Pillow's modes of pictures whose pixels are numbers of more than 8 bits; it cuts them off at 255 in others."""


def header(file: Path, kind: str) -> Image.Image:
    """Return a picture whose pixels have not been read; ``kind`` is what sentences call it.

    Raises:
        UserError: it is missing, no file or no picture.
    """
    with _named(file, kind):
        if file.exists() and not file.is_file():
            raise UserError(f"the {kind} {file} is no file")
        return Image.open(file)


def opened(file: Path, kind: str) -> Image.Image:
    """Return a picture whose pixels have been read; ``kind`` is what sentences call it.

    Raises:
        UserError: it is missing, is no file, is no picture, or is damaged.
    """
    image = header(file, kind)
    with _named(file, kind):
        image.load()
    return image


@contextmanager
def _named(file: Path, kind: str) -> Iterator[None]:
    """Turn what goes wrong with a file into a sentence that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"the {kind} {file} is missing") from error
    except UnidentifiedImageError as error:
        raise UserError(f"the {kind} {file} cannot be read (it is no picture, or damaged)") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or ["it is empty"])[0]
        raise UserError(f"the {kind} {file} cannot be read ({reason})") from error


def rgb(file: Path, least: int, aim: str) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Args:
        file: where it lies.
        least: the fewest pixels that a side may have.
        aim: what that many are needed for, for the sentence: "can be segmented".

    Raises:
        UserError: it is missing, is no picture, is damaged, is too small, or has greys beyond 255.
    """
    with opened(file, "picture") as image:
        if image.mode in DEEP:
            raise UserError(
                f"the picture {file} has greys that are no bytes ({image.mode}): save it with 8 bits a pixel"
            )
        width, height = image.size
        if min(width, height) < least:
            sides = f"{width}x{height} {'pixel' if width == height == 1 else 'pixels'}"
            raise UserError(f"the picture {file} has {sides}: at least {least} a side {aim}")
        return np.asarray(image.convert("RGB"))
