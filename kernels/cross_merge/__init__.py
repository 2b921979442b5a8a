"""The cross-merge of VMamba: four sequences over a map, added where they meet."""

from __future__ import annotations

from torch import Tensor

from claimbench.kernels.arguments import check_dtypes
from claimbench.kernels.cross_merge import reference
from claimbench.kernels.cross_scan.reference import check_scans, scan_number
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "cross_merge"]

_NAME = "cross_merge"


def _check(args: reference.Arguments) -> None:
    y, height, width, scans, channels_last = args
    if height < 1 or width < 1:
        raise ValueError(f"{_NAME}: height and width must be at least 1, got {height} and {width}")
    length, four = (1, 2) if channels_last else (3, 1)
    if y.dim() != 4 or y.shape[four] != 4 or y.shape[length] != height * width or 0 in y.shape[1:]:
        axes = f"(B, {height * width}, 4, C)" if channels_last else f"(B, 4, C, {height * width})"
        raise ValueError(f"{_NAME}: y must be {axes} with C at least 1, got shape {tuple(y.shape)}")
    check_dtypes(_NAME, args)
    check_scans(_NAME, scans)


def _fake(args: reference.Arguments) -> Tensor:
    y, height, width, _, channels_last = args
    if channels_last:
        return y.new_empty(y.shape[0], height, width, y.shape[3])
    return y.new_empty(y.shape[0], y.shape[2], height, width)


OPERATOR = Operator(
    name=_NAME, arguments=reference.Arguments, reference=reference.cross_merge, fake=_fake, check=_check
)


def cross_merge(y: Tensor, height: int, width: int, scans: str = "cross2d", channels_last: bool = False) -> Tensor:
    """Add four sequences over a map, each put back where :func:`claimbench.kernels.cross_scan.cross_scan` took it.

    Args:
        y: (B, 4, C, H * W), or (B, H * W, 4, C) if ``channels_last``; floating point, any strides.
        height: H.
        width: W.
        scans: ``cross2d``, ``unidi`` or ``bidi``, as of the cross-scan.
        channels_last: the order of the axes of y and of the result.

    Returns:
        (B, C, H, W), or (B, H, W, C) if ``channels_last``, contiguous, in y's dtype.

    Raises:
        ValueError: a shape or ``scans`` is not as above.

    Source: Liu et al., "VMamba: Visual State Space Model", 2024, arXiv 2401.10166, section 4.3.
    """
    out: Tensor = OPERATOR(y, height, width, scan_number(_NAME, scans), channels_last)
    return out
