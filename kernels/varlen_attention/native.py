"""Variable-length attention on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable
from claimbench.kernels.varlen_attention.reference import Arguments, turned, turned_back

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args: Arguments) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(x for x in args if isinstance(x, Tensor) and x.is_floating_point())


def _shared(args: Arguments) -> list[Tensor | None]:
    """Return query, key, value, both offsets, cosines and sines as C++ takes them."""
    compute = native.compute_dtype(args.query.dtype)
    offsets = [o.to(device="cpu", dtype=torch.int64) for o in (args.offsets, args.key_offsets) if o is not None]
    table = [None if each is None else each.detach().to(compute) for each in (args.cos, args.sin)]
    return [*native.shared(args[:3]), offsets[0], offsets[-1], *table]


def _length(offsets: Tensor) -> int:
    """Return the length of all samples, 0 if they differ."""
    lengths = set(offsets.diff().tolist())
    return int(lengths.pop()) if len(lengths) == 1 else 0


def _dense(args: Arguments) -> tuple[Tensor, Tensor] | None:
    """Return what :func:`forward` does by PyTorch's fused attention, which is faster on samples of one length.

    None if lengths differ, if queries and keys are turned, or if keys and values differ in width.
    """
    lengths = [_length(offsets) for offsets in (args.offsets, args.key_offsets) if offsets is not None]
    if args.cos is not None or 0 in lengths or args.query.shape[2] != args.value.shape[2] or not args.query.shape[1]:
        return None
    sizes = (lengths[0], lengths[-1], lengths[-1])
    batch = (x.detach().unflatten(0, (-1, size)).transpose(1, 2) for x, size in zip(args[:3], sizes, strict=True))
    out, logs = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*batch, scale=args.scale)
    return out.transpose(1, 2).flatten(0, 1).contiguous(), logs.transpose(1, 2).flatten(0, 1).contiguous()


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the attended values and the logarithm of each softmax's sum, (tokens, heads)."""
    if (found := _dense(args)) is not None:
        return found
    shared = _shared(args)
    query, value = shared[0], shared[2]
    assert query is not None
    assert value is not None
    logs = query.new_empty(query.shape[:2])
    out = query.new_empty(*query.shape[:2], value.shape[2])
    native.module().varlen_attention_forward(*shared, out, logs, args.scale, native.threads())
    return out.to(args.query.dtype), logs


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False and the work is left out."""
    if any(needs[5:]):
        flows = backward(grad, saved, turned(args), [True, True, needs[2], *[False] * 4])
        return [each if need else None for each, need in zip(turned_back(args, flows), needs, strict=True)]
    out, logs = saved
    shared = _shared(args)
    grads = [
        torch.empty_like(x) if need and x is not None else None for x, need in zip(shared[:3], needs, strict=False)
    ]
    native.module().varlen_attention_backward(
        native.share(grad), *shared, native.share(out), logs, *grads, args.scale, native.threads()
    )
    return [*(None if g is None else g.to(args.query.dtype) for g in grads), *[None] * 4]
