"""Reading pictures for super-resolution: 8 bits a channel, three channels, nothing guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from claimbench.bench.core.errors import UserError

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
