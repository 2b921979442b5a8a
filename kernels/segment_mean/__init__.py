"""Segment mean: every position takes the mean of its segment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.segment_mean import reference

__all__ = ["OPERATOR", "segment_mean"]

_INTEGERS = (torch.int64, torch.int32)


def _check(args: reference.Arguments) -> None:
    x, segments, count = args
    name = "segment_mean"
    if x.dim() != 3 or segments.shape != (x.shape[0], x.shape[2]):
        raise ValueError(
            f"{name}: x must be (B, C, N) and segments (B, N), got shapes {tuple(x.shape)} and {tuple(segments.shape)}"
        )
    if segments.dtype not in _INTEGERS:
        raise ValueError(f"{name}: segments must be int64 or int32, got {segments.dtype}")
    if count < 1:
        raise ValueError(f"{name}: segment_count must be at least 1, got {count}")
    # Elsewhere the host would wait for the device, or there are no numbers to look at.
    if segments.device.type == "cpu" and not isinstance(segments, FakeTensor) and segments.numel():
        least, most = (int(end) for end in segments.aminmax())
        if least < 0 or most >= count:
            raise ValueError(
                f"{name}: segments must be from 0 to segment_count - 1 = {count - 1}, got {least} to {most}"
            )


OPERATOR = Operator(
    name="segment_mean",
    arguments=reference.Arguments,
    reference=reference.segment_mean,
    fake=lambda args: torch.empty_like(args.x, memory_format=torch.contiguous_format),
    check=_check,
)


def segment_mean(x: Tensor, segments: Tensor, segment_count: int) -> Tensor:
    """Replace every value by the mean of its channel over its segment.

    Sums are in float32 at least, and their order is fixed. A NaN makes its channel of its segment NaN. The gradient is
    the same mean of the output's gradient.

    Args:
        x: (B, C, ...), floating point, any strides.
        segments: (B, ...), int64 or int32, the number of each position's segment, from 0.
        segment_count: a number that is larger than every segment's.

    Returns:
        x's shape, contiguous, in x's dtype.

    Raises:
        ValueError: a shape, a dtype or ``segment_count`` is not as above; on the CPU also if a segment's number is
            negative or not below ``segment_count``. On a GPU, where the host would have to wait for the numbers, such
            positions get NaN.

    Source: the smoothing over superpixels in Liang et al., "Deep Human Parsing with Active Template Regression", TPAMI
    2015, arXiv 1503.02391.
    """
    if x.dim() < 3 or segments.shape != (x.shape[0], *x.shape[2:]):
        raise ValueError(
            "segment_mean: x must be (B, C, ...) and segments (B, ...) with the same positions, "
            f"got shapes {tuple(x.shape)} and {tuple(segments.shape)}"
        )
    out: Tensor = OPERATOR(x.flatten(2), segments.flatten(1), segment_count)
    return out.view(x.shape)
