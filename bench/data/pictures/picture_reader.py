"""The one reader of pictures: every task and training reads its pictures here, and refuses the same ones.

A picture has 8 bits a channel and nothing to see through. Grey pictures get three equal channels, palettes are looked
up, and an alpha channel that is opaque everywhere is left out. EXIF orientation is not applied.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from claimbench.bench.core.errors import UserError

EXTENSIONS = frozenset((".jpeg", ".jpg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"))
"""The endings of the names of files that are pictures."""

DEEP = frozenset(("I", "I;16", "I;16L", "I;16B", "I;16N", "F"))
"""Pillow's modes of pictures whose pixels are numbers of more than 8 bits; it cuts them off at 255 in others."""

OURS = frozenset(("RGB", "RGBA", "L", "LA", "1", "P", "PA"))
"""Pillow's modes of grey and RGB; pictures of others (CMYK, YCbCr) only become RGB by a convention."""

BITS_PER_SAMPLE = 258
"""The TIFF tag of the bits of each channel."""

CUT_OUT = "n02105855_2933"
"""The one picture of ImageNet's training set that is a PNG with an alpha channel, under the name of a JPEG. Whoever
trains on ImageNet takes its colours as they are, so that it is not refused."""


class UnfitError(OSError):
    """A whole picture that must not be read as one of 8 bits a channel; ``has`` names its content and the remedy."""

    def __init__(self, has: str) -> None:
        super().__init__(f"it has {has}")
        self.has = has


def converted(image: Image.Image, mode: str = "RGB", *, name: str = "") -> Image.Image:
    """Return an opened picture, whose pixels need not have been read, in a colour mode (``RGB`` or ``L``).

    Args:
        image: the picture.
        mode: Pillow's name of the colours.
        name: of its file, without the folder.

    Raises:
        UnfitError: it has more than 8 bits a channel, or transparent parts.
        OSError: it is damaged.
    """
    if image.mode in DEEP:
        raise UnfitError(f"greys that are no bytes ({image.mode}): save it with 8 bits a pixel")
    if bits := _deep_colours(image):
        raise UnfitError(f"{bits} bits a channel: only 8 are read, save it with as many")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255 and Path(name).stem != CUT_OUT:
            raise UnfitError("transparent parts: flatten it onto a background first")
    return image.convert(mode)


def _deep_colours(image: Image.Image) -> int:
    """Return the bits a channel if they are more than 8, else 0; Pillow cuts those of colours to 8 unsaid."""
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(BITS_PER_SAMPLE, (8,)))  # type: ignore[attr-defined]
    elif image.format == "PPM":
        highest = [tile.args[1] for tile in image.tile if tile.codec_name.startswith("ppm")]  # type: ignore[attr-defined]
        bits = max(highest, default=255).bit_length()
    elif image.format == "BMP":  # its 16 bits are those of all channels together
        bits = 8
    else:
        bits = 16 if any(";16" in str(tile.args) for tile in getattr(image, "tile", ())) else 8
    return bits if bits > 8 else 0


def decode(data: bytes, mode: str = "RGB", *, name: str = "") -> Image.Image:
    """Return the picture that a file holds; arguments as :func:`converted`.

    Raises:
        UnfitError: as :func:`converted`.
        UnidentifiedImageError: it is no picture.
        OSError: it is damaged.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return converted(image, mode, name=name)
    except (Image.DecompressionBombError, ValueError, SyntaxError, MemoryError, EOFError, ArithmeticError) as error:
        raise OSError(str(error) or type(error).__name__) from error


def load(file: str | Path) -> Image.Image:
    """Return the picture of a file in RGB; raises as :func:`decode`."""
    return decode(Path(file).read_bytes(), name=Path(file).name)


def header(file: Path, kind: str = "picture") -> Image.Image:
    """Return a picture whose pixels have not been read; ``kind`` is its name in sentences.

    Raises:
        UserError: it is missing, no file or no picture.
    """
    with _named(file, kind):
        if file.exists() and not file.is_file():
            raise UserError(f"the {kind} {file} is no file")
        return Image.open(file)


def opened(file: Path, kind: str) -> Image.Image:
    """Return a picture in the mode of its file, its pixels read; ``kind`` is its name in sentences.

    Raises:
        UserError: it is missing, is no file, is no picture, or is damaged.
    """
    image = header(file, kind)
    with _named(file, kind):
        image.load()
    return image


def rgb(file: Path, *, least: int = 1, aim: str = "", foreign: bool = True) -> np.ndarray:
    """Return a picture as (H, W, 3) RGB in uint8.

    Args:
        file: its path.
        least: the fewest pixels that a side may have.
        aim: the reason for that many, for the sentence: "can be segmented".
        foreign: whether colours other than grey and RGB are converted, as those of CMYK.

    Raises:
        UserError: it is missing, is no picture, is damaged, is too small, has transparent parts, more than 8 bits a
            channel, or colours that are not converted.
    """
    with header(file) as image, _named(file, "picture"):
        if not foreign and image.mode not in OURS | DEEP:
            raise UnfitError(f"the pixel format {image.mode}: only 8 bits a channel, grey or RGB, are scored")
        found = np.asarray(converted(image, name=file.name))
    height, width = found.shape[:2]
    if min(width, height) < least:
        sides = f"{width}x{height} {'pixel' if width == height == 1 else 'pixels'}"
        raise UserError(f"the picture {file} has {sides}: at least {least} a side {aim}")
    return found


@contextmanager
def _named(file: Path, kind: str) -> Iterator[None]:
    """Turn errors with a file into a sentence that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"the {kind} {file} is missing") from error
    except UnfitError as error:
        raise UserError(f"the {kind} {file} has {error.has}") from error
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, Image.DecompressionBombError) as error:
        if reason := getattr(error, "strerror", None):
            raise UserError(f"the {kind} {file} cannot be read ({reason})") from error
        what = "" if isinstance(error, UnidentifiedImageError) else str(error).partition("\n")[0]
        reason = f" ({what})" if what else ""
        raise UserError(
            f"the {kind} {file} cannot be read as a picture: it is damaged or no picture{reason}"
        ) from error
