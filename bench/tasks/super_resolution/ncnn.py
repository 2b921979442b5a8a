"""Reading the weights of convolutions from ncnn's files: a ``.param`` text of layers and a ``.bin`` of their values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from claimbench.bench.core.errors import UserError

MAGIC = "7767517"
HALF = 0x01306B47
"""The mark before weights in half precision; 0 stands for single precision."""


@dataclass(frozen=True)
class Convolution:
    """The values of one layer: ``weight`` (out, in, k, k) and ``bias`` (out,), both float32."""

    weight: Tensor
    bias: Tensor


def convolutions(param: Path, weights: Path) -> list[Convolution]:
    """Return the convolutions of a network that has weights in no other layers, in order.

    Raises:
        UserError: the files cannot be read, or hold something else.
    """
    try:
        lines = param.read_text(encoding="utf-8").splitlines()
        raw = weights.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{param} or {weights.name} beside it cannot be read as ncnn's files ({error})") from error
    if not lines or lines[0].strip() != MAGIC:
        raise UserError(f"{param} is not a network of ncnn: it does not begin with {MAGIC}")
    found, at = [], 0
    try:
        for line in lines[2:]:
            if line.startswith("Convolution "):
                found.append(_read(_settings(line), raw, at))
                at += _bytes(_settings(line), raw, at)
    except (ValueError, KeyError) as error:
        raise UserError(f"{weights} does not hold what {param.name} says ({error})") from error
    if at != len(raw):
        raise UserError(f"{weights} has {len(raw)} bytes where {param.name} accounts for {at}")
    return found


def _settings(line: str) -> dict[str, str]:
    """Return a layer's numbered settings: 0 is the channels it gives, 1 the kernel, 5 the bias, 6 all weights."""
    return dict(item.split("=", 1) for item in line.split() if "=" in item)


def _sizes(settings: dict[str, str]) -> tuple[int, int, int]:
    out, kernel, count = int(settings["0"]), int(settings["1"]), int(settings["6"])
    if settings.get("5") != "1" or count % (out * kernel**2):
        raise ValueError("a convolution without a bias, or of another shape")
    return out, kernel, count


def _bytes(settings: dict[str, str], raw: bytes, at: int) -> int:
    """Return the bytes of a layer: a mark, its weights filled up to four bytes, its biases."""
    out, _, count = _sizes(settings)
    size = count * (2 if _mark(raw, at) == HALF else 4)
    return 4 + -(-size // 4) * 4 + 4 * out


def _mark(raw: bytes, at: int) -> int:
    return int(np.frombuffer(raw, "<u4", 1, at)[0])


def _read(settings: dict[str, str], raw: bytes, at: int) -> Convolution:
    out, kernel, count = _sizes(settings)
    mark = _mark(raw, at)
    if mark not in (HALF, 0):
        raise ValueError(f"weights of the unknown kind {mark:#x}")
    values = np.frombuffer(raw, "<f2" if mark == HALF else "<f4", count, at + 4)
    bias = np.frombuffer(raw, "<f4", out, at + _bytes(settings, raw, at) - 4 * out)
    shape = (out, count // (out * kernel**2), kernel, kernel)
    return Convolution(torch.from_numpy(values.astype(np.float32)).view(shape), torch.from_numpy(bias.copy()))
