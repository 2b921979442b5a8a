"""Windows of biased attention on a map: shifted ones are Swin's cyclic shift under its mask, moved nowhere."""

from __future__ import annotations

import pytest
import torch

from claimbench.kernels import backend
from claimbench.kernels.biased_attention import biased_attention, relative_position, window_attention


def problem(batch=2, height=12, width=8, heads=3, depth=5, channels=6, window=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    joint = torch.randn(batch, height, width, heads, 2 * depth + channels, generator=generator, dtype=torch.float64)
    table = torch.randn(heads, 2 * window - 1, 2 * window - 1, generator=generator, dtype=torch.float64)
    return *joint.split((depth, depth, channels), -1), table


def swin(query, key, value, parameter, window, shift):
    """Swin's own form: roll, cut into windows, add the bias of each pair and -100 between strangers, roll back."""
    batch, height, width, heads = query.shape[:4]
    index = torch.arange(window**2)
    rows, columns = index // window, index % window
    offsets = (rows[:, None] - rows + window - 1) * (2 * window - 1) + columns[:, None] - columns + window - 1
    bias = parameter[offsets].permute(2, 0, 1)

    def cut(x):
        x = x.roll((-shift, -shift), (1, 2)).unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3)
        return x.flatten(3, 4).transpose(3, 4)  # (B, Y, X, G, w^2, d)

    area = torch.zeros(1, height, width, 1, 1, dtype=torch.float64)
    for i, down in enumerate((slice(0, -window), slice(-window, -shift or None), slice(-shift, None))):
        for j, across in enumerate((slice(0, -window), slice(-window, -shift or None), slice(-shift, None))):
            if shift:
                area[:, down, across] = 3 * i + j
    area = cut(area.roll((shift, shift), (1, 2))).squeeze(-1)
    mask = -100.0 * (area.unsqueeze(-1) != area.unsqueeze(-2))
    q, k, v = cut(query), cut(key), cut(value)
    weights = (q @ k.mT * query.shape[-1] ** -0.5 + bias + mask).softmax(-1)
    out = (weights @ v).transpose(3, 4).unflatten(3, (window, window)).transpose(2, 3)
    return out.flatten(3, 4).flatten(1, 2).roll((shift, shift), (1, 2)).view(batch, height, width, heads, -1)


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(12, 8), (4, 4), (4, 12)])
def test_it_is_swins_cyclic_shift_under_its_mask(size, shift):
    query, key, value, _ = problem(height=size[0], width=size[1])
    parameter = torch.randn(49, 3, dtype=torch.float64)
    expected = swin(query, key, value, parameter, 4, shift)
    table = relative_position(parameter, 4, 4)
    for name in (None, "reference"):
        with backend.use(name):
            torch.testing.assert_close(window_attention(query, key, value, table, 4, shift), expected)


def test_without_a_shift_each_window_is_biased_attention():
    query, key, value, table = problem()
    found = window_attention(query, key, value, table, 4, scale=0.7)
    window = (slice(None), slice(4, 8), slice(4, 8))
    alone = biased_attention(*(x[window].permute(0, 3, 1, 2, 4) for x in (query, key, value)), table, scale=0.7)
    torch.testing.assert_close(found[window], alone.permute(0, 2, 3, 1, 4))


@pytest.mark.processors
@pytest.mark.parametrize("shift", [0, 2])
def test_gradients_are_those_of_the_definition(shift):
    found = {}
    for name in (None, "reference"):
        leaves = [x.detach().clone().requires_grad_() for x in problem(height=8)]
        with backend.use(name):
            window_attention(*leaves, 4, shift).square().sum().backward()
        found[name] = [leaf.grad for leaf in leaves]
    torch.testing.assert_close(found[None], found["reference"])


def test_the_definition_is_counted_dense():
    query, key, value, table = (x.to("meta") for x in problem())
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        assert window_attention(query, key, value, table, 4, 2).shape == value.shape
    assert counter.get_total_flops() == 2 * 2 * (12 * 8) * 16 * 3 * (5 + 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 10}, "do not tile a map of 10x8"),
        ({"table": torch.zeros(3, 7, 5)}, r"table must be \(3, 7, 7\)"),
        ({"shift": 4}, "shift between 0 and window - 1"),
        ({"window": 0}, "window must be at least 1"),
        ({"value": torch.zeros(2, 12, 9, 3, 6)}, "on one map"),
    ],
)
def test_wrong_sizes_are_refused(change, message):
    query, key, value, table = problem(height=change.get("height", 12))
    value, table = change.get("value", value), change.get("table", table)
    with pytest.raises(ValueError, match=message):
        window_attention(query, key, value, table, change.get("window", 4), change.get("shift", 0))
