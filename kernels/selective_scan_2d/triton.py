"""The selective scan over a map on a GPU: the kernels of the selective scan, their steps led over the map.

The directions take turns, each adding to the one map, so that neither copies of it nor atomics are needed.
"""

from __future__ import annotations

import torch
import triton

from claimbench.kernels import triton_support as support
from claimbench.kernels.cross_scan.reference import DIRECTIONS, SCANS
from claimbench.kernels.selective_scan.reference import chunk_length
from claimbench.kernels.selective_scan.triton import Problem, scan_backward, scan_forward
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args):
    """Return why the Triton backend cannot take these arguments, or None if it can."""
    return support.refuses(args, args.u[:, None], args.delta, args.B, args.C)


def _shared(maps):
    """Return maps (B, D, H, W) as the groups of the four directions see them: (B, 4, D, H * W), a stride of 0."""
    return maps.flatten(2)[:, None].expand(-1, 4, -1, -1)


def _problem(args):
    u, delta, A, B, C, D, delta_bias, delta_softplus, scans = args
    delta, B, C = (maps.flatten(3) for maps in (delta, B, C))
    directions = DIRECTIONS[SCANS[scans]]
    return Problem(_shared(u), delta, A, B, C, D, None, delta_bias, delta_softplus, directions, *u.shape[2:])


def _room(maps, dtype):
    """Return empty maps, channels side by side in memory where those of ``maps`` are."""
    form = torch.channels_last if maps.stride(1) == 1 else torch.contiguous_format
    return torch.empty(maps.shape, dtype=dtype, device=maps.device, memory_format=form)


def forward(args):
    """Return the output and the states (B, chunks, N, 4 D) at the chunks' starts."""
    u, A = args.u, args.A
    out = _room(u, support.storage(u))
    chunks = triton.cdiv(u.shape[2] * u.shape[3], chunk_length(A.shape[1]))
    states = out.new_empty(len(u), chunks, *A.shape[::-1])
    scan_forward(_problem(args), None, _shared(out), None, states)
    return torch.empty_like(u).copy_(out), states


def backward(grad, saved, args, needs):
    """Return the gradients of all tensors, None where ``needs`` is False; all come out of one pass."""
    u, delta = args.u, args.delta
    of_u, of_delta = _room(u, support.storage(u)), torch.empty_like(delta, memory_format=torch.contiguous_format)
    *sums, _ = scan_backward(_problem(args), _shared(grad), None, saved[-1], _shared(of_u), of_delta.flatten(3), None)
    tensors = zip((of_u, of_delta, *sums), args, needs, strict=False)
    return [
        torch.empty_like(arg).copy_(each.view_as(arg)) if need and arg is not None else None
        for each, arg, need in tensors
    ]
