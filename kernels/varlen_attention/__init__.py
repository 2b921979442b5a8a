"""Variable-length attention: softmax attention inside each sample of a packed batch, without padding."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.varlen_attention import reference
from claimbench.kernels.varlen_attention.reference import rotate

__all__ = ["OPERATOR", "rotate", "varlen_attention"]

NAME = "varlen_attention"


def _require(fits: bool, wanted: str, found: object) -> None:
    if not fits:
        raise ValueError(f"{NAME}: {wanted}, got {found}")


def _check_offsets(name: str, offsets: Tensor, tokens: int, device: torch.device) -> None:
    """Check cumulative lengths; their values only where they lie on the CPU and can be read without waiting."""
    _require(offsets.dim() == 1 and len(offsets) > 0, f"{name} must be (B + 1,)", f"shape {tuple(offsets.shape)}")
    _require(offsets.dtype in (torch.int32, torch.int64), f"{name} must be int32 or int64", offsets.dtype)
    _require(offsets.device.type in ("cpu", device.type), f"{name} must lie on the CPU or on {device}", offsets.device)
    if type(offsets) is Tensor and offsets.device.type == "cpu":
        ends = offsets.tolist()
        rising = all(a <= b for a, b in pairwise(ends))
        _require(ends[0] == 0 and ends[-1] == tokens, f"{name} must go from 0 to the {tokens} tokens", ends)
        _require(rising, f"{name} must not fall", ends)


def _check(args: reference.Arguments) -> None:
    query, key, value, offsets, key_offsets, cos, sin, _ = args
    tensors = {"query": query, "key": key, "value": value}
    for name, x in tensors.items():
        _require(x.dim() == 3, f"{name} must be (tokens, heads, head_dim)", f"shape {tuple(x.shape)}")
        _require(x.is_floating_point(), f"{name} must be floating point", x.dtype)
        _require(x.dtype == query.dtype, f"{name} must be {query.dtype} as the query is", x.dtype)
        _require(x.device == query.device, f"{name} must lie on {query.device} as the query does", x.device)
    tokens, heads, width = query.shape
    keys = tokens if key_offsets is None else key.shape[0]
    _require(width > 0 and value.shape[2] > 0, "head_dim must be at least 1", f"{width} and {value.shape[2]}")
    _require(key.shape == (keys, heads, width), f"key must be {(keys, heads, width)}", f"shape {tuple(key.shape)}")
    _require(
        value.shape[:2] == key.shape[:2], f"value must be {(keys, heads)} and a width", f"shape {tuple(value.shape)}"
    )
    _check_offsets("offsets", offsets, tokens, query.device)
    if key_offsets is not None:
        _check_offsets("key_offsets", key_offsets, keys, query.device)
        same = key_offsets.shape == offsets.shape
        _require(same, f"key_offsets must have {len(offsets)} entries as offsets has", f"{len(key_offsets)}")
        if all(type(each) is Tensor and each.device.type == "cpu" for each in (offsets, key_offsets)):
            unanswered = (offsets.diff() > 0) & (key_offsets.diff() == 0)
            _require(not unanswered.any(), "a sample with queries must have keys", f"{key_offsets.tolist()}")
    _require((cos is None) == (sin is None), "cos and sin belong together", "one of them")
    if cos is not None and sin is not None:
        _require(key_offsets is None, "the table of angles is for queries and keys of the same tokens", "key_offsets")
        for name, table in (("cos", cos), ("sin", sin)):
            fits = table.dim() == 2 and table.shape[0] == tokens and 2 * table.shape[1] <= width
            _require(fits, f"{name} must be ({tokens}, p) with p <= {width // 2}", f"shape {tuple(table.shape)}")
            _require(table.is_floating_point(), f"{name} must be floating point", table.dtype)
            _require(table.device == query.device, f"{name} must lie on {query.device}", table.device)
        _require(cos.shape == sin.shape and cos.dtype == sin.dtype, "cos and sin must be alike", "different ones")


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor]:
    """Return an empty output and an empty table of log-sums of exponentials (tokens, heads), for the backward pass."""
    kept = torch.float64 if args.query.dtype == torch.float64 else torch.float32
    return args.query.new_empty(*args.query.shape[:2], args.value.shape[2]), args.query.new_empty(
        args.query.shape[:2], dtype=kept
    )


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.varlen_attention,
    fake=_fake,
    extras=1,
    saves_output=True,
    keeps_dtype=("cos", "sin"),
    check=_check,
)


def varlen_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offsets: Tensor,
    *,
    cos: Tensor | None = None,
    sin: Tensor | None = None,
    scale: float | None = None,
    key_offsets: Tensor | None = None,
) -> Tensor:
    """Attend inside each sample of a packed batch: block-diagonal attention without padding, mask or waste.

    Sample b has the tokens ``offsets[b]`` to ``offsets[b + 1]``. For every query i of a sample and every head::

        q', k' = the pairs (2c, 2c + 1) of q and k turned by the angles of their token, if a table is given
        a[j]   = softmax over the keys j of the sample of (scale * q'[i] . k'[j])
        out[i] = sum over j of a[j] * v[j]

    One operator for every batch of samples of different length: pictures and clips of different size, pruned tokens,
    windows that are not full. ``key_offsets`` gives the keys a packing of their own (cross-attention: one query for
    each sample, for example). No matrix of scores is kept for the backward pass, which takes one number for each query
    and head.

    Args:
        query: (tokens, heads, d), floating point, any strides, d of any size.
        key: the same shape and dtype; with ``key_offsets`` it may have another number of tokens.
        value: (tokens, heads, e) for the keys, the same dtype.
        offsets: (B + 1,), int32 or int64, the cumulative lengths from 0 to the number of tokens. On the CPU they are
            checked, and the cost can be counted for arguments on any device; on a GPU they are not read back.
        cos: (tokens, p), the cosines of the angles that turn the first p <= d / 2 pairs of channels (rotary
            position embedding); any floating dtype. None turns nothing.
        sin: (tokens, p), the sines.
        scale: of the scores; None stands for ``d ** -0.5``.
        key_offsets: (B + 1,), the cumulative lengths of the keys; None stands for ``offsets``. Not with a table.

    Returns:
        (tokens, heads, e) in query's dtype, contiguous; a sample without tokens has no rows.

    Raises:
        ValueError: a shape, a dtype or the offsets are not as above, or a sample has queries and no key.
        TypeError: the dtypes of query, key and value differ outside autocast.

    Source: Vaswani et al., arXiv 1706.03762, equation 1; packed batches: Dao et al., arXiv 2205.14135 (FlashAttention);
    the rotation: Su et al., arXiv 2104.09864, equation 34.
    """
    width = query.shape[-1] if query.dim() else 1
    return OPERATOR(
        query, key, value, offsets, key_offsets, cos, sin, max(width, 1) ** -0.5 if scale is None else scale
    )
