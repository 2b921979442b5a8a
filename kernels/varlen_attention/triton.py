"""Variable-length attention on a GPU: a program takes some queries of one sample and head, whose keys pass by.

Which tokens a program takes stands in a table that is made on the device, so that nothing waits for the offsets. No
pass uses atomics: the gradient of a query comes from a walk over the keys, those of a key and a value from a walk over
the queries, so every result has the same bits on each run.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable
from claimbench.kernels.varlen_attention.reference import turned, turned_back

__all__ = ["backward", "forward", "refuses", "unavailable"]

_WIDEST = 256
"""The most channels of a head: a program holds whole rows."""


@triton.jit
def _product(a, b, FACTOR: tl.constexpr, ACC: tl.constexpr):
    """Return the matrix product of factors rounded to FACTOR."""
    return tl.dot(a.to(FACTOR), b.to(FACTOR), input_precision="ieee", out_dtype=ACC)


@triton.jit
def _rows(first, last, BLOCK: tl.constexpr):
    """Return the numbers of BLOCK tokens from ``first`` on, and whether each comes before ``last``."""
    token = first + tl.arange(0, BLOCK)
    return token, token < last


@triton.jit
def _load(at, row, step, token, inside, width, BLOCK_C: tl.constexpr):
    """Return the channels of some tokens, (tokens, BLOCK_C), zero where there are none."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < width)[None, :]
    return tl.load(at + token[:, None] * row + channel[None, :] * step, mask=mask, other=0)


@triton.jit
def _store(at, row, step, token, inside, width, x, BLOCK_C: tl.constexpr):
    """Write the channels of some tokens."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < width)[None, :]
    tl.store(at + token[:, None] * row + channel[None, :] * step, x.to(at.dtype.element_ty), mask=mask)


@triton.jit
def _turn(
    x, cos, cn, cp, sin, sn, sp, token, inside, pairs, sign,
    TURNED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Turn the pairs of channels of some tokens (BLOCK, BLOCK_D) by their angles, back if ``sign`` is -1."""
    if TURNED:
        pair = tl.arange(0, BLOCK_D // 2)
        known = inside[:, None] & (pair < pairs)[None, :]
        c = tl.load(cos + token[:, None] * cn + pair[None, :] * cp, mask=known, other=0).to(ACC)
        c = tl.where(known, c, 1.0)
        s = tl.load(sin + token[:, None] * sn + pair[None, :] * sp, mask=known, other=0).to(ACC) * sign
        even, odd = tl.split(tl.reshape(x.to(ACC), (BLOCK, BLOCK_D // 2, 2)))
        x = tl.reshape(tl.join(even * c - odd * s, even * s + odd * c), (BLOCK, BLOCK_D))
    return x


@triton.jit
def _forward_kernel(
    query, qn, qh, qc, key, kn, kh, kc, value, vn, vh, vc, cos, cn, cp, sin, sn, sp,
    out, on, oh, oc, logs, ln, lh, table, depth, channels, pairs,
    SCALE: tl.constexpr, TURNED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    table += tl.program_id(0) * 4
    first, last = tl.load(table), tl.load(table + 1)
    first_key, last_key = tl.load(table + 2), tl.load(table + 3)
    head = tl.program_id(1).to(tl.int64)
    token, inside = _rows(first, last, BLOCK)
    q = _load(query + head * qh, qn, qc, token, inside, depth, BLOCK_D)
    q = _turn(q, cos, cn, cp, sin, sn, sp, token, inside, pairs, 1, TURNED, BLOCK, BLOCK_D, ACC)
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for start in range(first_key, last_key, BLOCK):
        other, seen = _rows(start, last_key, BLOCK)
        k = _load(key + head * kh, kn, kc, other, seen, depth, BLOCK_D)
        k = _turn(k, cos, cn, cp, sin, sn, sp, other, seen, pairs, 1, TURNED, BLOCK, BLOCK_D, ACC)
        v = _load(value + head * vh, vn, vc, other, seen, channels, BLOCK_C)
        scores = _product(q, tl.trans(k), FACTOR, ACC) * SCALE
        scores = tl.where(seen[None, :], scores, float("-inf"))
        higher = tl.maximum(peak, tl.max(scores, axis=1))
        # A peak of minus infinity is no shift: all weights are then zero, unless a later key has more.
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        keep = tl.exp(peak - shift)
        weights = tl.exp(scores - shift[:, None])
        norm = norm * keep + tl.sum(weights, axis=1)
        total = total * keep[:, None] + _product(weights, v, FACTOR, ACC)
        peak = higher
    _store(out + head * oh, on, oc, token, inside, channels, total / norm[:, None], BLOCK_C)
    tl.store(logs + token * ln + head * lh, peak + tl.log(norm), mask=inside)


@triton.jit
def _query_kernel(
    grad, gn, gh, gc, query, qn, qh, qc, key, kn, kh, kc, value, vn, vh, vc, cos, cn, cp, sin, sn, sp,
    logs, ln, lh, means, mn, mh, slope, on, oh, oc, table, depth, channels, pairs,
    SCALE: tl.constexpr, TURNED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of some queries."""
    table += tl.program_id(0) * 4
    first, last = tl.load(table), tl.load(table + 1)
    first_key, last_key = tl.load(table + 2), tl.load(table + 3)
    head = tl.program_id(1).to(tl.int64)
    token, inside = _rows(first, last, BLOCK)
    q = _load(query + head * qh, qn, qc, token, inside, depth, BLOCK_D)
    q = _turn(q, cos, cn, cp, sin, sn, sp, token, inside, pairs, 1, TURNED, BLOCK, BLOCK_D, ACC)
    g = _load(grad + head * gh, gn, gc, token, inside, channels, BLOCK_C)
    log = tl.load(logs + token * ln + head * lh, mask=inside, other=0)
    mean = tl.load(means + token * mn + head * mh, mask=inside, other=0)
    total = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    for start in range(first_key, last_key, BLOCK):
        other, seen = _rows(start, last_key, BLOCK)
        k = _load(key + head * kh, kn, kc, other, seen, depth, BLOCK_D)
        k = _turn(k, cos, cn, cp, sin, sn, sp, other, seen, pairs, 1, TURNED, BLOCK, BLOCK_D, ACC)
        v = _load(value + head * vh, vn, vc, other, seen, channels, BLOCK_C)
        weights = tl.exp(_product(q, tl.trans(k), FACTOR, ACC) * SCALE - log[:, None])
        flow = weights * (_product(g, tl.trans(v), FACTOR, ACC) - mean[:, None])
        total += _product(flow, k, FACTOR, ACC)
    total = _turn(total * SCALE, cos, cn, cp, sin, sn, sp, token, inside, pairs, -1, TURNED, BLOCK, BLOCK_D, ACC)
    _store(slope + head * oh, on, oc, token, inside, depth, total, BLOCK_D)


@triton.jit
def _key_kernel(
    grad, gn, gh, gc, query, qn, qh, qc, key, kn, kh, kc, value, vn, vh, vc, cos, cn, cp, sin, sn, sp,
    logs, ln, lh, means, mn, mh, key_slope, on, oh, oc, value_slope, wn, wh, wc, table, depth, channels, pairs,
    SCALE: tl.constexpr, TURNED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of some keys and values."""
    table += tl.program_id(0) * 4
    first_key, last_key = tl.load(table), tl.load(table + 1)
    first, last = tl.load(table + 2), tl.load(table + 3)
    head = tl.program_id(1).to(tl.int64)
    other, seen = _rows(first_key, last_key, BLOCK)
    k = _load(key + head * kh, kn, kc, other, seen, depth, BLOCK_D)
    k = _turn(k, cos, cn, cp, sin, sn, sp, other, seen, pairs, 1, TURNED, BLOCK, BLOCK_D, ACC)
    v = _load(value + head * vh, vn, vc, other, seen, channels, BLOCK_C)
    of_key = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    of_value = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for start in range(first, last, BLOCK):
        token, inside = _rows(start, last, BLOCK)
        q = _load(query + head * qh, qn, qc, token, inside, depth, BLOCK_D)
        q = _turn(q, cos, cn, cp, sin, sn, sp, token, inside, pairs, 1, TURNED, BLOCK, BLOCK_D, ACC)
        g = _load(grad + head * gh, gn, gc, token, inside, channels, BLOCK_C)
        log = tl.load(logs + token * ln + head * lh, mask=inside, other=0)
        mean = tl.load(means + token * mn + head * mh, mask=inside, other=0)
        weights = tl.exp(_product(k, tl.trans(q), FACTOR, ACC) * SCALE - log[None, :])
        of_value += _product(weights, g, FACTOR, ACC)
        flow = weights * (_product(v, tl.trans(g), FACTOR, ACC) - mean[None, :])
        of_key += _product(flow, q, FACTOR, ACC)
    of_key = _turn(of_key * SCALE, cos, cn, cp, sin, sn, sp, other, seen, pairs, -1, TURNED, BLOCK, BLOCK_D, ACC)
    _store(key_slope + head * oh, on, oc, other, seen, depth, of_key, BLOCK_D)
    _store(value_slope + head * wh, wn, wc, other, seen, channels, of_value, BLOCK_C)


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    if max(args.query.shape[2], args.value.shape[2]) > _WIDEST:
        widths = f"{args.query.shape[2]} and {args.value.shape[2]}"
        return f"a head may have {_WIDEST} channels at most, got {widths}"
    return support.refuses(x for x in args if isinstance(x, torch.Tensor) and x.is_floating_point())


def _table(own, others, count, block):
    """Return the first and last token of each program's tokens, and of those that pass by, (programs, 4).

    There are as many programs as any samples of ``count`` tokens could need; those that are left over have no tokens.
    """
    samples = len(own) - 1
    starts = F.pad((own.diff() + block - 1).div(block, rounding_mode="floor").cumsum(0), (1, 0))
    program = torch.arange(count // block + samples, device=own.device)
    sample = torch.searchsorted(starts[1:].contiguous(), program, right=True).clamp(max=samples - 1)
    last = own[sample + 1]
    first = torch.where(program < starts[-1], own[sample] + (program - starts[sample]) * block, last)
    passing = others[sample], torch.where(first < last, others[sample + 1], others[sample])
    return torch.stack((first, last, *passing), dim=1)


def _offsets(args):
    """Return the offsets of queries and of keys on the device, never beyond the tokens and never falling."""
    given = (args.offsets, args.query), (args.offsets if args.key_offsets is None else args.key_offsets, args.key)
    found = (o.to(device=x.device, dtype=torch.int64, non_blocking=True).clamp(0, len(x)) for o, x in given)
    return [each.cummax(0).values for each in found]


def _widths(args):
    """Return the powers of two that cover the channels of queries and of values."""
    return tuple(max(16, support.block_of(x.shape[2])) for x in (args.query, args.value))


def _block(args):
    """Return the number of tokens of a program, by the bytes of a row."""
    row = max(_widths(args)) * args.query.element_size()
    return 64 if row <= 128 else 32 if row <= 256 else 16


def _angles(args):
    """Return the table of angles with its strides; any tensor stands for one that is left out."""
    if args.cos is None:
        return (args.query, 0, 0, args.query, 0, 0)
    return args.cos, *args.cos.stride(), args.sin, *args.sin.stride()


def _sizes(args):
    return args.query.shape[2], args.value.shape[2], 0 if args.cos is None else args.cos.shape[1]


def _options(args):
    accumulator = support.accumulator(args.query)
    factors = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    if support.interpreted():  # which holds bfloat16 as integers and multiplies them as such
        factors = {}
    deep, broad = _widths(args)
    return {
        "SCALE": args.scale,  # as a run-time argument it would be rounded to float32
        "TURNED": args.cos is not None,
        "BLOCK": _block(args),
        "BLOCK_D": deep,
        "BLOCK_C": broad,
        "FACTOR": factors.get(args.query.dtype, accumulator),
        "ACC": accumulator,
        "num_warps": 8 if max(deep, broad) * args.query.element_size() > 256 else 4,
    }


def forward(args):
    """Return the attended values and the logarithm of each softmax's sum, (tokens, heads)."""
    query, key, value = args[:3]
    tokens, heads = query.shape[:2]
    out = query.new_empty(tokens, heads, value.shape[2])
    logs = query.new_empty(tokens, heads, dtype=support.storage(query))
    if out.numel():
        offsets, key_offsets = _offsets(args)
        table = _table(offsets, key_offsets, tokens, _block(args))
        with support.launching(query):
            _forward_kernel[(len(table), heads)](
                query, *query.stride(), key, *key.stride(), value, *value.stride(), *_angles(args),
                out, *out.stride(), logs, *logs.stride(), table, *_sizes(args), **_options(args),
            )  # fmt: skip
    return out, logs


def backward(grad, saved, args, needs):
    """Return the gradients of all tensors, None where ``needs`` is False."""
    if any(needs[5:]):
        flows = backward(grad, saved, turned(args), [True, True, needs[2], *[False] * 4])
        return [each if need else None for each, need in zip(turned_back(args, flows), needs, strict=True)]
    out, logs = saved
    query, key, value = args[:3]
    grads = [torch.empty_like(x) for x in (query, key, value)]
    means = (grad.to(logs.dtype) * out.to(logs.dtype)).sum(-1)
    offsets, key_offsets = _offsets(args)
    heads, block = query.shape[1], _block(args)
    given = (
        grad, *grad.stride(), query, *query.stride(), key, *key.stride(), value, *value.stride(), *_angles(args),
        logs, *logs.stride(), means, *means.stride(),
    )  # fmt: skip
    with support.launching(query):
        if needs[0] and query.numel():
            table = _table(offsets, key_offsets, len(query), block)
            _query_kernel[(len(table), heads)](
                *given, grads[0], *grads[0].stride(), table, *_sizes(args), **_options(args)
            )
        if (needs[1] or needs[2]) and key.numel():
            table = _table(key_offsets, offsets, len(key), block)
            _key_kernel[(len(table), heads)](
                *given, grads[1], *grads[1].stride(), grads[2], *grads[2].stride(), table, *_sizes(args),
                **_options(args),
            )  # fmt: skip
    return [*(g if need else None for g, need in zip(grads, needs, strict=False)), *[None] * 4]
