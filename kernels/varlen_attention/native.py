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


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the attended values and the logarithm of each softmax's sum, (tokens, heads)."""
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
    logs, out = saved
    shared = _shared(args)
    grads = [
        torch.empty_like(x) if need and x is not None else None for x, need in zip(shared[:3], needs, strict=False)
    ]
    native.module().varlen_attention_backward(
        native.share(grad), *shared, native.share(out), logs, *grads, args.scale, native.threads()
    )
    return [*(None if g is None else g.to(args.query.dtype) for g in grads), *[None] * 4]
