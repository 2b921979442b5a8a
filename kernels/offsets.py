"""The check of cumulative lengths, by which operators on packed batches know their samples."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["check_offsets"]


def check_offsets(name: str, offsets: Tensor, tokens: int) -> None:
    """Check the cumulative lengths (B + 1,) of samples that have ``tokens`` tokens together.

    Their values are checked on the CPU only: on a GPU, reading them back would wait for it.

    Raises:
        ValueError: they are no such lengths; names the operator.
    """
    if offsets.dim() != 1 or len(offsets) < 1 or offsets.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"{name}: offsets must be (B + 1,) in int32 or int64, got {tuple(offsets.shape)} in {offsets.dtype}"
        )
    if type(offsets) is Tensor and offsets.device.type == "cpu":
        ends = offsets.tolist()
        if ends[0] != 0 or ends[-1] != tokens or any(a > b for a, b in pairwise(ends)):
            raise ValueError(f"{name}: offsets must rise from 0 to the {tokens} tokens, got {ends}")
