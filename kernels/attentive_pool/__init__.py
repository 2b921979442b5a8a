"""Attentive pooling: a few queries attend over the tokens of an image, each reading its own keys and its own values."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.attentive_pool import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "attentive_pool"]


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor]:
    """Return an empty output and an empty table of log-sums of exponentials (B, Q), for the backward pass."""
    query, key, value, _ = args
    kept = torch.float64 if value.dtype == torch.float64 else torch.float32
    shape = (key.shape[0], query.shape[1])
    return value.new_empty(*shape, value.shape[3]), value.new_empty(shape, dtype=kept)


OPERATOR = Operator(
    name="attentive_pool",
    arguments=reference.Arguments,
    reference=reference.attentive_pool,
    fake=_fake,
    extras=1,
)


def attentive_pool(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Pool the tokens of every image by the attention of Q queries, fused: cross-attention with few queries.

    Keys come in G groups and values in V groups; query q reads group ``q G // Q`` of the keys and group ``q V // Q`` of
    the values. For every image b::

        a[q, n] = softmax over n of (scale * query[b, q] . key[b, n, q G // Q])
        out[q]  = sum over n of a[q, n] * value[b, n, q V // Q]

    One operator for many poolings: full-width queries that each pool a slice of the values (G = 1, V = Q: efficient
    probing), or all of the tokens (G = V = 1, ``key`` and ``value`` the same tensor), multi-head cross-attention with M
    queries a head (G = V = heads, Q = heads M, head by head), heads that share keys and values (G = V = 1, Q = heads).
    No (B, Q, N) tensor of scores is kept for the backward pass, which takes one number a query and the arguments.

    Args:
        query: (Q, d) for all images, or (B, Q, d), floating point, any strides.
        key: (B, N, G, d), the same dtype, Q a multiple of G; unit stride along d is the fast path on the CPU.
        value: (B, N, V, e), the same dtype, Q a multiple of V.
        scale: of the scores; None stands for ``d ** -0.5``.

    Returns:
        (B, Q, e) in value's dtype, contiguous.

    Raises:
        ValueError: a shape is not as above, or there is no token.
        TypeError: the dtypes differ outside autocast.

    Source: Psomas et al., "Attention, Please! Revisiting Attentive Probing Through the Lens of Efficiency", ICLR 2026,
    arXiv 2506.10178; shared keys and values: Shazeer, arXiv 1911.02150, and Ainslie et al., arXiv 2305.13245.
    """
    name = "attentive_pool"
    if key.dim() != 4 or min(key.shape[1:]) < 1:
        raise ValueError(f"{name}: key must be (B, N, G, d) with at least one token, got shape {tuple(key.shape)}")
    batch, tokens, _, depth = key.shape
    if value.dim() != 4 or value.shape[:2] != key.shape[:2] or min(value.shape[2:]) < 1:
        raise ValueError(f"{name}: value must be {(batch, tokens)} and V, e, got shape {tuple(value.shape)}")
    if query.dim() not in (2, 3) or query.shape[-1] != depth or query.shape[-2] < 1:
        raise ValueError(f"{name}: query must be (Q, {depth}) or ({batch}, Q, {depth}), got shape {tuple(query.shape)}")
    if query.dim() == 3 and query.shape[0] != batch:
        raise ValueError(f"{name}: query must be for {batch} images as the key is, got shape {tuple(query.shape)}")
    for side, groups in (("key", key.shape[2]), ("value", value.shape[2])):
        if query.shape[-2] % groups:
            raise ValueError(f"{name}: the {query.shape[-2]} queries do not divide among the {groups} groups of {side}")
    if query.dim() == 2:
        query = query.unsqueeze(0)
    return OPERATOR(query, key, value, depth**-0.5 if scale is None else scale)
