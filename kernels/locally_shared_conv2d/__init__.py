"""Locally shared convolution: the filters depend on the cell of a grid over the output."""

from __future__ import annotations

from torch import Tensor

from claimbench.kernels.locally_shared_conv2d import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "locally_shared_conv2d"]


def _fake(args: reference.Arguments) -> Tensor:
    return args.x.new_empty(len(args.x), args.weight.shape[1], *reference.output_size(args))


def _check(args: reference.Arguments) -> None:
    x, weight, bias, rows, columns, stride = args
    name = "locally_shared_conv2d"
    if x.dim() != 4:
        raise ValueError(f"{name}: x must be (B, C, H, W), got shape {tuple(x.shape)}")
    if rows < 1 or columns < 1:
        raise ValueError(f"{name}: the grid must have at least one row and column, got {rows}x{columns}")
    if weight.dim() != 5 or weight.shape[0] != rows * columns or weight.shape[2] != x.shape[1]:
        raise ValueError(
            f"{name}: weight must be ({rows * columns}, out channels, {x.shape[1]}, kh, kw) for a grid of "
            f"{rows}x{columns} cells and x of shape {tuple(x.shape)}, got shape {tuple(weight.shape)}"
        )
    if bias is not None and bias.shape != weight.shape[:2]:
        raise ValueError(f"{name}: bias must be {tuple(weight.shape[:2])}, got shape {tuple(bias.shape)}")
    if stride < 1:
        raise ValueError(f"{name}: stride must be at least 1, got {stride}")
    if min(weight.shape[3:]) < 1 or x.shape[2] < weight.shape[3] or x.shape[3] < weight.shape[4]:
        kernel = "x".join(map(str, weight.shape[3:]))
        raise ValueError(f"{name}: a filter of {kernel} does not fit into x of shape {tuple(x.shape)}")


OPERATOR = Operator(
    name="locally_shared_conv2d",
    arguments=reference.Arguments,
    reference=reference.locally_shared_conv2d,
    fake=_fake,
    check=_check,
)


def locally_shared_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, grid: int | tuple[int, int] = 1, stride: int = 1
) -> Tensor:
    """Convolve a map, without padding, by filters that are shared inside a cell of a grid and differ between cells.

    Output row ``i`` of ``H'`` belongs to cell row ``floor(i rows / H')``, and columns likewise; the filters are those
    of the cells row by row. With one cell this is :func:`torch.nn.functional.conv2d`, with as many cells as outputs an
    unshared (locally connected) layer. A grid that is finer than the output leaves filters unused.

    Args:
        x: (B, C, H, W), floating point, any strides.
        weight: (cells, O, C, kh, kw), the same dtype.
        bias: (cells, O) or None.
        grid: the cells of a row and of a column, or (rows, columns).
        stride: of the filters.

    Returns:
        (B, O, (H - kh) // stride + 1, (W - kw) // stride + 1), contiguous, in x's dtype.

    Raises:
        ValueError: a shape, the grid or the stride is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015, arXiv 1411.7766, section 2.2.
    """
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    out: Tensor = OPERATOR(x, weight, bias, rows, columns, stride)
    return out
