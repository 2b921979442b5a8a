"""The selective scan on a GPU: a program takes some channels of one image through the sequence, chunk by chunk.

Inside a chunk the recurrence is an associative scan of pairs (decay, drive), which multiplies and adds, and divides by
nothing. The backward pass first takes the gradient of the state from chunk to chunk; then every chunk by itself makes
its states again and walks over the channels of its group, so that the gradients of B and C are sums without atomics.

The kernels know tensors as (B, G, D / G, L). For the scan over a map the groups of u are one map (a stride of 0), and
the steps of a sequence lead along one of four directions over it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.selective_scan.reference import chunk_length
from claimbench.kernels.triton_support import unavailable

__all__ = ["Problem", "backward", "forward", "refuses", "scan_backward", "scan_forward", "unavailable"]

_ELEMENTS = 2048
_PROGRAMS = 256


@triton.jit
def _compose(a, b, later_a, later_b):
    return a * later_a, later_a * b + later_b


@triton.jit
def _softplus(x):
    bell = tl.exp(-tl.abs(x))
    wide = 1.0 + bell  # rounded; the quotient makes up for it, so that small results keep all digits
    rounded = tl.where(wide == 1.0, 1.0, wide - 1.0)
    log1p = tl.where(wide == 1.0, bell, tl.log(wide) * (bell / rounded))
    return tl.where(x > 20.0, x, tl.maximum(x, 0.0) + log1p)


@triton.jit
def _sigmoid(x):
    bell = tl.exp(-tl.abs(x))
    return tl.where(x < 0, bell, 1.0) / (1.0 + bell)


@triton.jit
def _place(step, length, height, width, DIRECTION: tl.constexpr):
    """Return where in the map a step of the sequence is."""
    if DIRECTION >= 2:
        step = length - 1 - step
    if DIRECTION % 2:
        step = step % height * width + step // height
    return step


@triton.jit
def _load(tensor, row, s_row, place, s_place, mask, ACC: tl.constexpr):
    return tl.load(tensor + row[:, None] * s_row + place[None, :] * s_place, mask=mask, other=0.0).to(ACC)


@triton.jit
def _steps(
    u, uc, ul, delta, dc, dl, bias, channel, in_channels, step, length, height, width,
    SOFTPLUS: tl.constexpr, DIRECTION: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Return u, delta with its bias, and the step sizes (CHANNELS, CHUNK); outside the sequence the last are 0."""
    known = (step >= 0) & (step < length)
    place = _place(tl.where(known, step, 0), length, height, width, DIRECTION)
    mask = in_channels[:, None] & known[None, :]
    seen = _load(u, channel, uc, place, ul, mask, ACC)
    raw = _load(delta, channel, dc, place, dl, mask, ACC) + bias[:, None]
    size = _softplus(raw) if SOFTPLUS else raw
    return seen, raw, tl.where(mask, size, 0.0)


@triton.jit
def _of_group(tensor, s_number, s_place, number, numbers, step, length, height, width,
              DIRECTION: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Return B or C (NUMBERS, CHUNK), 0 outside the sequence."""
    known = (step >= 0) & (step < length)
    place = _place(tl.where(known, step, 0), length, height, width, DIRECTION)
    return _load(tensor, number, s_number, place, s_place, (number < numbers)[:, None] & known[None, :], ACC)


@triton.jit
def _forward_kernel(
    u, ub, ug, uc, ul, delta, db, dg, dc, dl, A, B, bb, bg, bn, bl, C, cb, cg, cn, cl, skip, bias,
    z, zb, zg, zc, zl, initial, out, ob, og, oc, ol, last, states,
    first_group, groups, channels, length, numbers, height, width,
    SOFTPLUS: tl.constexpr, GATE: tl.constexpr, INITIAL: tl.constexpr, DIRECTION: tl.constexpr, ADD: tl.constexpr,
    CHUNK: tl.constexpr, CHANNELS: tl.constexpr, NUMBERS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    group = (first_group + tl.program_id(1)).to(tl.int64)
    batch = tl.program_id(2).to(tl.int64)
    in_channels = channel < channels
    number = tl.arange(0, NUMBERS)
    u += batch * ub + group * ug
    delta += batch * db + group * dg
    B += batch * bb + group * bg
    C += batch * cb + group * cg
    z += batch * zb + group * zg
    out += batch * ob + group * og
    own = group * channels + channel
    all_channels = groups * channels
    of_state = (batch * all_channels + own[:, None]) * numbers + number[None, :]
    in_state = in_channels[:, None] & (number < numbers)[None, :]
    exponent = tl.load(A + own[:, None] * numbers + number[None, :], mask=in_state, other=0.0)
    factor = tl.load(skip + own, mask=in_channels, other=0.0)
    shift = tl.load(bias + own, mask=in_channels, other=0.0)
    state = tl.zeros((CHANNELS, NUMBERS), dtype=ACC)
    if INITIAL:
        state = tl.load(initial + of_state, mask=in_state, other=0.0)
    for chunk in range(tl.cdiv(length, CHUNK)):
        kept = (batch * tl.cdiv(length, CHUNK) + chunk) * numbers * all_channels
        tl.store(states + kept + number[None, :] * all_channels + own[:, None], state, mask=in_state)
        position = tl.arange(0, CHUNK)
        step = chunk * CHUNK + position
        seen, _, size = _steps(u, uc, ul, delta, dc, dl, shift, channel, in_channels, step, length, height, width,
                               SOFTPLUS, DIRECTION, ACC)  # fmt: skip
        drive = _of_group(B, bn, bl, number, numbers, step, length, height, width, DIRECTION, ACC)
        read = _of_group(C, cn, cl, number, numbers, step, length, height, width, DIRECTION, ACC)
        decay = tl.exp(size[:, None, :] * exponent[:, :, None])
        change = tl.where(in_state[:, :, None], (size * seen)[:, None, :] * drive[None, :, :], 0.0)
        start = position[None, None, :] == 0
        change += tl.where(start, decay * state[:, :, None], 0.0)
        _, x = tl.associative_scan((decay, change), 2, _compose)
        y = tl.sum(x * read[None, :, :], axis=1) + factor[:, None] * seen
        state = tl.sum(tl.where(position[None, None, :] == CHUNK - 1, x, 0.0), axis=2)
        mask = in_channels[:, None] & (step < length)[None, :]
        place = _place(tl.where(step < length, step, 0), length, height, width, DIRECTION)
        if GATE:
            gate = _load(z, channel, zc, place, zl, mask, ACC)
            y *= gate * _sigmoid(gate)
        to = out + channel[:, None] * oc + place[None, :] * ol
        if ADD:
            y += tl.load(to, mask=mask, other=0.0).to(ACC)
        tl.store(to, y.to(out.dtype.element_ty), mask=mask)
    if last is not None:
        tl.store(last + of_state, state, mask=in_state)


@triton.jit
def _carry_kernel(
    delta, db, dg, dc, dl, A, C, cb, cg, cn, cl, bias, z, zb, zg, zc, zl, grad, gb, gg, gc, gl, grad_last,
    carries, grad_initial, first_group, groups, channels, length, numbers, height, width,
    SOFTPLUS: tl.constexpr, GATE: tl.constexpr, DIRECTION: tl.constexpr,
    CHUNK: tl.constexpr, CHANNELS: tl.constexpr, NUMBERS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # carries (B, chunks, N, D) takes the gradient of the state after each chunk.
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    group = (first_group + tl.program_id(1)).to(tl.int64)
    batch = tl.program_id(2).to(tl.int64)
    in_channels = channel < channels
    number = tl.arange(0, NUMBERS)
    delta += batch * db + group * dg
    C += batch * cb + group * cg
    z += batch * zb + group * zg
    grad += batch * gb + group * gg
    own = group * channels + channel
    all_channels = groups * channels
    of_state = (batch * all_channels + own[:, None]) * numbers + number[None, :]
    in_state = in_channels[:, None] & (number < numbers)[None, :]
    exponent = tl.load(A + own[:, None] * numbers + number[None, :], mask=in_state, other=0.0)
    shift = tl.load(bias + own, mask=in_channels, other=0.0)
    carry = tl.zeros((CHANNELS, NUMBERS), dtype=ACC)
    if grad_last is not None:
        carry = tl.load(grad_last + of_state, mask=in_state, other=0.0)
    chunks = tl.cdiv(length, CHUNK)
    for back in range(chunks):
        chunk = chunks - 1 - back
        kept = (batch * chunks + chunk) * numbers * all_channels
        tl.store(carries + kept + number[None, :] * all_channels + own[:, None], carry, mask=in_state)
        position = tl.arange(0, CHUNK)
        step = chunk * CHUNK + position
        flow, _, size = _steps(grad, gc, gl, delta, dc, dl, shift, channel, in_channels, step, length, height, width,
                               SOFTPLUS, DIRECTION, ACC)  # fmt: skip
        if GATE:
            place = _place(tl.where(step < length, step, 0), length, height, width, DIRECTION)
            gate = _load(z, channel, zc, place, zl, in_channels[:, None] & (step < length)[None, :], ACC)
            flow *= gate * _sigmoid(gate)
        read = _of_group(C, cn, cl, number, numbers, step, length, height, width, DIRECTION, ACC)
        decay = tl.exp(size[:, None, :] * exponent[:, :, None])
        change = flow[:, None, :] * read[None, :, :]
        change += tl.where(position[None, None, :] == CHUNK - 1, carry[:, :, None], 0.0)
        _, before = tl.associative_scan((decay, decay * change), 2, _compose, reverse=True)
        carry = tl.sum(tl.where(position[None, None, :] == 0, before, 0.0), axis=2)
    if grad_initial is not None:
        tl.store(grad_initial + of_state, carry, mask=in_state)


@triton.jit
def _backward_kernel(
    u, ub, ug, uc, ul, delta, db, dg, dc, dl, A, B, bb, bg, bn, bl, C, cb, cg, cn, cl, skip, bias,
    z, zb, zg, zc, zl, grad, gb, gg, gc, gl, states, carries,
    grad_u, xb, xg, xc, xl, grad_delta, eb, eg, ec, el, grad_z, yb, yg, yc, yl, grad_A, grad_B, grad_C, grad_D,
    grad_bias, first_group, groups, channels, length, numbers, height, width, splits, blocks,
    SOFTPLUS: tl.constexpr, GATE: tl.constexpr, DIRECTION: tl.constexpr, ADD: tl.constexpr,
    CHUNK: tl.constexpr, CHANNELS: tl.constexpr, NUMBERS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # A program is one chunk of one group, with `blocks` blocks of its channels. grad_A is (B, chunks, D, N), grad_D and
    # grad_bias (B, chunks, D), grad_B and grad_C (splits, B, G, N, L), all contiguous.
    chunk = tl.program_id(0)
    group = (first_group + tl.program_id(1) // splits).to(tl.int64)
    split = tl.program_id(1) % splits
    batch = tl.program_id(2).to(tl.int64)
    chunks = tl.num_programs(0)
    number = tl.arange(0, NUMBERS)
    position = tl.arange(0, CHUNK)
    step = chunk * CHUNK + position
    in_sequence = step < length
    place = _place(tl.where(in_sequence, step, 0), length, height, width, DIRECTION)
    start, end = position[None, None, :] == 0, position[None, None, :] == CHUNK - 1
    u += batch * ub + group * ug
    delta += batch * db + group * dg
    B += batch * bb + group * bg
    C += batch * cb + group * cg
    z += batch * zb + group * zg
    grad += batch * gb + group * gg
    all_channels = groups * channels
    drive = _of_group(B, bn, bl, number, numbers, step, length, height, width, DIRECTION, ACC)
    drive_before = _of_group(B, bn, bl, number, numbers, step - 1, length, height, width, DIRECTION, ACC)
    read = _of_group(C, cn, cl, number, numbers, step, length, height, width, DIRECTION, ACC)
    of_B = tl.zeros((NUMBERS, CHUNK), dtype=ACC)
    of_C = tl.zeros((NUMBERS, CHUNK), dtype=ACC)
    for block in range(split * blocks, min((split + 1) * blocks, tl.cdiv(channels, CHANNELS))):
        channel = block * CHANNELS + tl.arange(0, CHANNELS)
        in_channels = channel < channels
        own = group * channels + channel
        in_state = in_channels[:, None] & (number < numbers)[None, :]
        mask = in_channels[:, None] & in_sequence[None, :]
        exponent = tl.load(A + own[:, None] * numbers + number[None, :], mask=in_state, other=0.0)[:, :, None]
        factor = tl.load(skip + own, mask=in_channels, other=0.0)[:, None]
        shift = tl.load(bias + own, mask=in_channels, other=0.0)
        kept = (batch * chunks + chunk) * numbers * all_channels + number[None, :] * all_channels + own[:, None]
        state = tl.load(states + kept, mask=in_state, other=0.0)
        carry = tl.load(carries + kept, mask=in_state, other=0.0)

        seen, _, size = _steps(u, uc, ul, delta, dc, dl, shift, channel, in_channels, step - 1, length, height, width,
                               SOFTPLUS, DIRECTION, ACC)  # fmt: skip
        decay = tl.where(start, 0.0, tl.exp(size[:, None, :] * exponent))
        change = tl.where(in_state[:, :, None], (size * seen)[:, None, :] * drive_before[None, :, :], 0.0)
        _, before = tl.associative_scan((decay, tl.where(start, state[:, :, None], change)), 2, _compose)
        _, _, size = _steps(u, uc, ul, delta, dc, dl, shift, channel, in_channels, step + 1, length, height, width,
                            SOFTPLUS, DIRECTION, ACC)  # fmt: skip
        decay_after = tl.exp(size[:, None, :] * exponent)
        seen, raw, size = _steps(u, uc, ul, delta, dc, dl, shift, channel, in_channels, step, length, height, width,
                                 SOFTPLUS, DIRECTION, ACC)  # fmt: skip
        decay = tl.exp(size[:, None, :] * exponent)
        pulled = size * seen
        x = decay * before + tl.where(in_state[:, :, None], pulled[:, None, :] * drive[None, :, :], 0.0)

        flow = _load(grad, channel, gc, place, gl, mask, ACC)
        if GATE:
            gate = _load(z, channel, zc, place, zl, mask, ACC)
            open_ = _sigmoid(gate)
            y = tl.sum(x * read[None, :, :], axis=1) + factor * seen
            slope = open_ * (1.0 + gate * (1.0 - open_))
            to = grad_z + batch * yb + group * yg + channel[:, None] * yc + place[None, :] * yl
            tl.store(to, (flow * y * slope).to(grad_z.dtype.element_ty), mask=mask)
            flow *= gate * open_
        change = flow[:, None, :] * read[None, :, :] + tl.where(end, carry[:, :, None], 0.0)
        _, of_x = tl.associative_scan((tl.where(end, 0.0, decay_after), change), 2, _compose, reverse=True)

        of_C += tl.sum(flow[:, None, :] * x, axis=0)
        of_B += tl.sum(of_x * pulled[:, None, :], axis=0)
        of_pulled = tl.sum(of_x * drive[None, :, :], axis=1)
        of_power = of_x * decay * before
        of_size = of_pulled * seen + tl.sum(of_power * exponent, axis=1)
        of_raw = tl.where(mask, of_size, 0.0)
        if SOFTPLUS:
            of_raw *= tl.where(raw > 20.0, 1.0, _sigmoid(raw))
        to = grad_delta + batch * eb + group * eg + channel[:, None] * ec + place[None, :] * el
        tl.store(to, of_raw.to(grad_delta.dtype.element_ty), mask=mask)
        to = grad_u + batch * xb + group * xg + channel[:, None] * xc + place[None, :] * xl
        of_u = of_pulled * size + factor * flow
        if ADD:
            of_u += tl.load(to, mask=mask, other=0.0).to(ACC)
        tl.store(to, of_u.to(grad_u.dtype.element_ty), mask=mask)
        part = (batch * chunks + chunk) * all_channels + own
        to = grad_A + part[:, None] * numbers + number[None, :]
        tl.store(to, tl.sum(of_power * size[:, None, :], axis=2), mask=in_state)
        tl.store(grad_D + part, tl.sum(flow * seen, axis=1), mask=in_channels)
        tl.store(grad_bias + part, tl.sum(of_raw, axis=1), mask=in_channels)
    part = ((split * tl.num_programs(2) + batch) * groups + group) * numbers * length
    to = part + number[:, None] * length + place[None, :]
    mask = (number < numbers)[:, None] & in_sequence[None, :]
    tl.store(grad_B + to, of_B, mask=mask)
    tl.store(grad_C + to, of_C, mask=mask)


class Problem(NamedTuple):
    """What the kernels need: sequences as (B, G, D / G, L), of which u may be expanded over the groups.

    ``directions`` are those of the groups over maps of ``height`` rows and ``width`` columns; all 0 for sequences.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    directions: tuple[int, ...]
    height: int
    width: int

    def launches(self):
        """Yield the first group of a launch, the number of its groups, and their direction.

        Groups that share one map take turns: each adds to what the one before it wrote.
        """
        if self.shares_maps:
            yield from ((group, 1, direction) for group, direction in enumerate(self.directions))
        else:
            yield 0, len(self.directions), 0

    @property
    def shares_maps(self):
        """Whether the groups read and write one map."""
        return self.u.stride(1) == 0 and self.u.shape[1] > 1

    def parameters(self):
        """Return A, D and the bias in the dtype of the state, zeros for those that are left out."""
        dtype = support.storage(self.u)
        zeros = self.A.new_zeros(len(self.A), dtype=dtype)
        return [zeros if t is None else t.to(dtype).contiguous() for t in (self.A, self.D, self.delta_bias)]

    def options(self):
        """Return the constants of all kernels."""
        numbers = self.A.shape[1]
        chunk = min(chunk_length(numbers), max(16, support.block_of(self.u.shape[3])))
        width = support.block_of(numbers)
        channels = max(1, _ELEMENTS // (chunk * width))
        if self.u.stride(2) == 1:  # side by side in memory: whole sectors
            channels = max(channels, min(8, 2 * _ELEMENTS // (chunk * width)))
        channels = min(channels, support.block_of(self.u.shape[2]))
        return {
            "SOFTPLUS": self.delta_softplus, "CHUNK": chunk, "CHANNELS": channels, "NUMBERS": width,
            "ACC": support.accumulator(self.u), "num_warps": min(16, max(4, channels * width * chunk // 256)),
        }  # fmt: skip

    def sizes(self):
        """Return the number of groups, and the sizes that follow it in every kernel's arguments."""
        _, groups, channels, length = self.u.shape
        return groups, channels, length, self.A.shape[1], self.height, self.width


def _strided(tensor, instead):
    """Return a tensor and its strides, of another one where it is left out and not read."""
    tensor = instead if tensor is None else tensor
    return tensor, *tensor.stride()


def scan_forward(problem, initial, out, last, states):
    """Write the output (B, G, D / G, L), the last state, unless None, and the states at the chunks' starts."""
    u, delta, _, B, C = problem[:5]
    A, D, bias = problem.parameters()
    options = problem.options()
    blocks = triton.cdiv(u.shape[2], options["CHANNELS"])
    if not u.numel():
        return
    with support.launching(u):
        for first, count, direction in problem.launches():
            _forward_kernel[(blocks, count, len(u))](
                *_strided(u, u), *_strided(delta, u), A, *_strided(B, u), *_strided(C, u), D, bias,
                *_strided(problem.z, u), initial, *_strided(out, u), last, states, first, *problem.sizes(),
                GATE=problem.z is not None, INITIAL=initial is not None, DIRECTION=direction, ADD=first > 0, **options,
            )  # fmt: skip


def scan_backward(problem, grad, grad_last, states, grad_u, grad_delta, grad_z):
    """Write the gradients of the sequences; return those of A, B, C, D, the bias and the initial state.

    The last is None where ``grad_last`` is; ``grad`` and ``grad_u`` are shaped as the output and u.
    """
    u, delta, _, B, C = problem[:5]
    A, D, bias = problem.parameters()
    options, (batch, groups, channels, length) = problem.options(), u.shape
    numbers, chunks = A.shape[1], states.shape[1]
    carries = torch.empty_like(states)
    grad_initial = None if grad_last is None else torch.empty_like(grad_last)
    blocks = triton.cdiv(channels, options["CHANNELS"])
    splits = max(1, min(blocks, _PROGRAMS // max(1, batch * groups * chunks)))
    grad_A = states.new_zeros(batch, chunks, len(A), numbers)
    grad_D, grad_bias = states.new_zeros(2, batch, chunks, len(A))
    grad_B, grad_C = states.new_zeros(2, splits, batch, groups, numbers, length)
    gate = problem.z is not None
    if u.numel():
        with support.launching(u):
            for first, count, direction in problem.launches():
                _carry_kernel[(blocks, count, batch)](
                    *_strided(delta, u), A, *_strided(C, u), bias, *_strided(problem.z, u), *_strided(grad, u),
                    grad_last, carries, grad_initial, first, *problem.sizes(), GATE=gate, DIRECTION=direction,
                    **options,
                )  # fmt: skip
                _backward_kernel[(chunks, count * splits, batch)](
                    *_strided(u, u), *_strided(delta, u), A, *_strided(B, u), *_strided(C, u), D, bias,
                    *_strided(problem.z, u), *_strided(grad, u), states, carries, *_strided(grad_u, u),
                    *_strided(grad_delta, u), *_strided(grad_z, u), grad_A, grad_B, grad_C, grad_D, grad_bias,
                    first, *problem.sizes(), splits, triton.cdiv(blocks, splits), GATE=gate, DIRECTION=direction,
                    ADD=first > 0, **options,
                )  # fmt: skip
    sums = [grad_A.sum((0, 1)), grad_B.sum(0), grad_C.sum(0), grad_D.sum((0, 1)), grad_bias.sum((0, 1))]
    return [*sums, grad_initial]


def _problem(args):
    groups = args.B.shape[1]
    u, delta, z = (t if t is None else t.unflatten(1, (groups, -1)) for t in (args.u, args.delta, args.z))
    return Problem(
        u, delta, args.A, args.B, args.C, args.D, z, args.delta_bias, args.delta_softplus, (0,) * groups, 1, 1
    )


def refuses(args):
    """Return why the Triton backend cannot take these arguments, or None if it can."""
    return support.refuses(args, *(t[:, None] for t in (args.u, args.delta, args.B, args.C)))


def forward(args):
    """Return the output, the last state and the states (B, chunks, N, D) at the chunks' starts."""
    u, numbers = args.u, args.A.shape[1]
    last = u.new_empty(*u.shape[:2], numbers, dtype=support.storage(u))
    states = last.new_empty(len(u), triton.cdiv(u.shape[2], chunk_length(numbers)), numbers, u.shape[1])
    out, problem = torch.empty_like(u), _problem(args)
    initial = None if args.initial_state is None else args.initial_state.to(last.dtype).contiguous()
    scan_forward(problem, initial, out.unflatten(1, problem.u.shape[1:3]), last, states)
    return out, last, states


def backward(grad, saved, args, needs):
    """Return the gradients of all tensors, None where ``needs`` is False; all come out of one pass."""
    problem = _problem(args)
    sides = problem.u.shape[1:3]
    of_u, of_delta, of_z = (None if t is None else torch.empty_like(t) for t in (args.u, args.delta, args.z))
    into = [None if t is None else t.unflatten(1, sides) for t in (of_u, of_delta, of_z)]
    of_A, of_B, of_C, of_D, of_bias, of_initial = scan_backward(
        problem, grad[0].unflatten(1, sides), grad[1].contiguous(), saved[-1], *into
    )
    found = (of_u, of_delta, of_A, of_B, of_C, of_D, of_z, of_bias, of_initial)
    tensors = zip(found, args, needs, strict=False)
    return [torch.empty_like(arg).copy_(each) if need and arg is not None else None for each, arg, need in tensors]
