"""Query attention: a few queries attend over the tokens of each image, and their raw scores are a result too."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.offsets import check_offsets
from claimbench.kernels.operator import Operator
from claimbench.kernels.query_attention import reference

__all__ = ["OPERATOR", "query_attention"]

NAME = "query_attention"


def _check(args: reference.Arguments) -> None:
    query, key, value, offsets, _ = args
    if key.dim() != 3 or min(key.shape[1:]) < 1:
        raise ValueError(f"{NAME}: key must be (T, heads, d), got shape {tuple(key.shape)}")
    tokens, heads, depth = key.shape
    if value.dim() != 3 or value.shape[:2] != key.shape[:2] or value.shape[2] < 1:
        raise ValueError(f"{NAME}: value must be ({tokens}, {heads}, e), got shape {tuple(value.shape)}")
    check_offsets(NAME, offsets, tokens)
    batch = len(offsets) - 1
    if query.dim() != 4 or query.shape[2:] != key.shape[1:] or query.shape[0] not in (1, batch):
        raise ValueError(
            f"{NAME}: query must be (Q, {heads}, {depth}) or ({batch}, Q, {heads}, {depth}), got shape "
            f"{tuple(query.shape)}"
        )
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not x.is_floating_point() or x.dtype != query.dtype or x.device != query.device:
            raise ValueError(f"{NAME}: {name} must be floating point and like query, got {x.dtype} on {x.device}")


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Return empty values, scores and log-sums of exponentials (B, Q, heads), the last for the backward pass."""
    query, key, value, offsets, _ = args
    batch, queries, heads = len(offsets) - 1, query.shape[1], query.shape[2]
    kept = torch.float64 if value.dtype == torch.float64 else torch.float32
    return (
        value.new_empty(batch, queries, heads, value.shape[2]),
        value.new_empty(len(key), queries),
        value.new_empty(batch, queries, heads, dtype=kept),
    )


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.query_attention,
    fake=_fake,
    extras=1,
    outputs=2,
    check=_check,
)


def query_attention(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Attend from Q queries over the tokens of each image of a packed batch, and return the mean of the raw scores.

    Image b has the tokens ``offsets[b]`` to ``offsets[b + 1]``. For each of them::

        s[q, h, n]   = scale * query[b, q, h] . key[n, h]
        values[q, h] = sum over n of (softmax over n of s[q, h, n]) * value[n, h]
        scores[n, q] = mean over h of s[q, h, n]

    It generalises :func:`~claimbench.kernels.attentive_pool.attentive_pool`, whose kernels it shares, by images of
    different length and by the second output, which has a gradient too. The scores of the heads are never kept. The
    values of an image without tokens are zero.

    Args:
        query: (Q, heads, d) for all images, or (B, Q, heads, d), floating point, any strides.
        key: (T, heads, d), the same dtype, the images one after the other.
        value: (T, heads, e), the same dtype.
        offsets: (B + 1,), int32 or int64, the cumulative numbers of tokens from 0 to T.
        scale: of the scores; None stands for ``d ** -0.5``.

    Returns:
        The values (B, Q, heads, e) and the scores (T, Q), contiguous, in value's dtype.

    Raises:
        ValueError: a shape, a dtype or the offsets are not as above.
        TypeError: the dtypes of query, key and value differ outside autocast.

    Source: Zhang et al., "SegViT", NeurIPS 2022, arXiv 2210.05844, section 3.2 (attention to mask).
    """
    if query.dim() == 3:
        query = query.unsqueeze(0)
    depth = query.shape[-1] if query.dim() else 1
    values, scores = OPERATOR(query, key, value, offsets, max(depth, 1) ** -0.5 if scale is None else scale)
    return values, scores
