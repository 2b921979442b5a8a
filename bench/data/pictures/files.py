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


ENDINGS = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")


BITS = 8


COLOURS = ("RGB", "RGBA", "LA")


BITS_AT = 24
"""Where a PNG says how many bits a channel has: after its signature, its first chunk's head, width and height."""


def read(path: Path) -> np.ndarray:
    """Return a picture as RGB, (H, W, 3) uint8.

    Grey pictures get three equal channels, as BasicSR and the common folders of Set14 and BSD100 have them; palettes
    are looked up; an alpha channel that is opaque everywhere is left out.

    Raises:
        UserError: the file is no picture, is damaged, or has transparent parts, more than 8 bits a channel, or other
            channels than grey and RGB.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file")
    try:
        with Image.open(path) as opened:
            if opened.format == "PNG" and opened.mode in COLOURS and (bits := _bits(path)) > BITS:
                raise UserError(f"{path} has {bits} bits a channel: only {BITS}, grey or RGB, are scored")
            opened.load()
            picture = opened.copy()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture: it is damaged or no picture ({_short(error)})") from error
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA" if "transparency" in picture.info or picture.mode == "PA" else "RGB")
    if picture.mode in ("RGB", "L", "1") and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    if picture.mode in ("LA", "RGBA"):
        if np.asarray(picture.getchannel("A")).min() < 255:
            raise UserError(f"{path} has transparent parts: flatten it onto a background first")
        picture = picture.convert("RGB")
    if picture.mode in ("L", "1"):
        picture = picture.convert("RGB")
    if picture.mode != "RGB":
        raise UserError(f"{path} has the pixel format {picture.mode}: only 8 bits a channel, grey or RGB, are scored")
    return np.asarray(picture)


def _bits(path: Path) -> int:
    """Return the bits a channel of a PNG: Pillow cuts those of colours to 8 and does not tell."""
    with path.open("rb") as file:
        return file.read(BITS_AT + 1)[BITS_AT]


def _short(error: Exception) -> str:
    return str(error).split(": ")[0].split("'")[0].strip() or type(error).__name__
