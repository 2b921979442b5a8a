"""The cross-scan of VMamba: a map unrolled into four sequences."""

from __future__ import annotations

from torch import Tensor

from claimbench.kernels.arguments import check_dtypes
from claimbench.kernels.cross_scan import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "cross_scan"]

_NAME = "cross_scan"


def _check(args: reference.Arguments) -> None:
    if args.x.dim() != 4 or 0 in args.x.shape[1:]:
        axes = "(B, H, W, C)" if args.channels_last else "(B, C, H, W)"
        raise ValueError(f"{_NAME}: x must be {axes} with no axis but B empty, got shape {tuple(args.x.shape)}")
    check_dtypes(_NAME, args)
    reference.check_scans(_NAME, args.scans)


def _fake(args: reference.Arguments) -> Tensor:
    x = args.x
    if args.channels_last:
        batch, height, width, channels = x.shape
        return x.new_empty(batch, height * width, 4, channels)
    batch, channels, height, width = x.shape
    return x.new_empty(batch, 4, channels, height * width)


OPERATOR = Operator(name=_NAME, arguments=reference.Arguments, reference=reference.cross_scan, fake=_fake, check=_check)


def cross_scan(x: Tensor, scans: str = "cross2d", channels_last: bool = False) -> Tensor:
    """Unroll each channel of a map into four sequences.

    ``cross2d``: along rows, along columns, and both from the end. ``unidi``: four times along rows. ``bidi``: twice
    along rows and twice along rows from the end. :func:`claimbench.kernels.cross_merge.cross_merge` is the adjoint.

    Args:
        x: (B, C, H, W), or (B, H, W, C) if ``channels_last``; floating point, any strides.
        scans: ``cross2d``, ``unidi`` or ``bidi``.
        channels_last: the order of the axes of x and of the result.

    Returns:
        (B, 4, C, H * W), or (B, H * W, 4, C) if ``channels_last``, contiguous, in x's dtype.

    Raises:
        ValueError: the shape or ``scans`` is not as above.

    Source: Liu et al., "VMamba: Visual State Space Model", 2024, arXiv 2401.10166, section 4.3.
    """
    out: Tensor = OPERATOR(x, reference.scan_number(_NAME, scans), channels_last)
    return out
