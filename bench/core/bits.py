"""The correctness of each test picture's prediction, as a short text: one bit a picture, compressed."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np

from claimbench.bench.core.differences import Right


def encode(right: Right) -> str:
    """Return bools (N,) as text."""
    return base64.b64encode(zlib.compress(np.packbits(right).tobytes(), 9)).decode()


def decode(text: str, n: int) -> Right:
    """Return the ``n`` bools that ``text`` holds.

    Raises:
        ValueError: it does not hold as many.
    """
    try:
        packed = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"not encoded bits ({error})") from error
    if len(packed) != -(-n // 8):
        raise ValueError(f"{len(packed)} bytes hold no {n} bits")
    return np.unpackbits(packed, count=n).astype(bool)


def packed(right: np.ndarray) -> str:
    """Return the correctness of pictures as text: a bit a picture, in their order, for paired tests."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpacked(text: str, count: int) -> np.ndarray:
    """Return the correctness of pictures from the text that :func:`packed` returned.

    Raises:
        ValueError: it is no such text, or of another number of pictures.
    """
    data = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if len(data) != -(-count // 8):
        raise ValueError(f"{len(data)} bytes hold no {count} bits")
    return np.unpackbits(data, count=count).astype(bool)
