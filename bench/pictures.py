"""Opens the picture files of data sets; what is wrong with one is said in one sentence that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from bench.errors import UserError


def header(file: Path, kind: str) -> Image.Image:
    """Return a picture whose pixels have not been read; ``kind`` is what sentences call it.

    Raises:
        UserError: it is missing or no picture.
    """
    with _named(file, kind):
        return Image.open(file)


def opened(file: Path, kind: str) -> Image.Image:
    """Return a picture whose pixels have been read; ``kind`` is what sentences call it.

    Raises:
        UserError: it is missing, is no picture, or is damaged.
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
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0]
        raise UserError(f"the {kind} {file} cannot be read ({reason})") from error


def rgb(file: Path, least: int, aim: str) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Args:
        file: where it lies.
        least: the fewest pixels that a side may have.
        aim: what that many are needed for, for the sentence: "can be segmented".

    Raises:
        UserError: it is missing, is no picture, is damaged, or is too small.
    """
    with opened(file, "picture") as image:
        width, height = image.size
        if min(width, height) < least:
            sides = f"{width}x{height} {'pixel' if width == height == 1 else 'pixels'}"
            raise UserError(f"the picture {file} has {sides}: at least {least} a side {aim}")
        return np.asarray(image.convert("RGB"))
