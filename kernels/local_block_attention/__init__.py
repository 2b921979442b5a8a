"""Local block attention: the queries of a block attend to the block and a halo around it."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.local_block_attention import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "local_block_attention"]

NAME = "local_block_attention"


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor]:
    """Return an empty output and an empty table of logarithms (B, G, H, W), one for each query."""
    query, value = args.query, args.value
    batch, groups, height, width, _ = query.shape
    out = query.new_empty((batch, height, width, groups, value.shape[-1])).permute(0, 3, 1, 2, 4)
    precise = torch.promote_types(query.dtype, torch.float32)
    return out, query.new_empty((batch, groups, height, width), dtype=precise)


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.local_block_attention,
    fake=_fake,
    extras=1,  # the logarithm of every query's sum of exponentials
    saves_output=True,
)


def _check_maps(query: Tensor, key: Tensor, value: Tensor, block_size: int, halo_size: int) -> None:
    if block_size < 1 or halo_size < 0:
        raise ValueError(f"{NAME}: block_size must be positive and halo_size not negative")
    if query.dim() != 5 or key.dim() != 5 or value.dim() != 5:
        raise ValueError(f"{NAME}: query, key and value must be (B, G, H, W, channels)")
    if value.shape[:4] != key.shape[:4]:
        raise ValueError(f"{NAME}: key {tuple(key.shape)} and value {tuple(value.shape)} must lie on one map")
    if query.shape[:2] != key.shape[:2] or query.shape[4] != key.shape[4]:
        raise ValueError(f"{NAME}: query {tuple(query.shape)} and key {tuple(key.shape)} must agree in all but H and W")
    height, width = key.shape[2:4]
    if height % block_size or width % block_size:
        raise ValueError(f"{NAME}: a {height}x{width} map cannot be cut into blocks of {block_size}: pad it first")
    stride = height // max(query.shape[2], 1)
    if stride < 1 or block_size % stride or (height, width) != (stride * query.shape[2], stride * query.shape[3]):
        raise ValueError(
            f"{NAME}: the query's map {tuple(query.shape[2:4])} must be the key's {height}x{width} over a stride that "
            f"divides block_size = {block_size}"
        )


def local_block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    tables: tuple[Tensor, Tensor] | None,
    block_size: int,
    halo_size: int,
    scale: float | None = None,
) -> Tensor:
    """Attend from the queries of every block to the keys of the block and of ``halo_size`` positions around it.

    With b the block size, w = b + 2 halo_size the side of a window, s the stride of the queries, and (i, j) and (r, c)
    the places of a query in its block, counted in queries, and of a key in its window::

        score[(i, j), (r, c)] = scale * q . k + q . row_table[r - i + w - 1] + q . column_table[c - j + w - 1]
        out = softmax over the window of the scores, times the values

    Keys and values outside the map are zero, and they do take part in the softmax with their position's score. With
    s > 1 a block has (b / s)^2 queries. No backend but the reference copies windows or writes scores to memory.

    Args:
        query: (B, G, H / s, W / s, D), any strides.
        key: (B, G, H, W, D), any strides; H and W are multiples of the block size.
        value: (B, G, H, W, E), any strides.
        tables: position embeddings of rows and of columns, each (2 w - 1, D), or None for none.
        block_size: b, a multiple of s.
        halo_size: the number of positions by which a window reaches beyond its block on each side.
        scale: of the content scores, D ** -0.5 by default.

    Returns:
        (B, G, H / s, W / s, E), in memory (B, H / s, W / s, G, E).

    Raises:
        ValueError: a shape or a size is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: blocked local self-attention, Vaswani et al., CVPR 2021, arXiv 2103.12731, section 2.2; details that the
    paper leaves open as in timm's ``HaloAttn``.
    """
    _check_maps(query, key, value, block_size, halo_size)
    rows, columns = tables if tables is not None else (None, None)
    expected = (2 * (block_size + 2 * halo_size) - 1, query.shape[4])
    for table in (rows, columns):
        if table is not None and tuple(table.shape) != expected:
            raise ValueError(f"{NAME}: each table must be (2 window - 1, D) = {expected}, got {tuple(table.shape)}")
    return OPERATOR(
        query, key, value, rows, columns, block_size, halo_size, query.shape[4] ** -0.5 if scale is None else scale
    )
