"""What the mixers of the small-scale studies share."""

import pytest
import torch
from torch import nn

from claimbench.reproductions.mixers import ChannelsFirst, TwoInTurn, head_count


@pytest.mark.parametrize(("dim", "heads"), [(32, 2), (64, 4), (48, 3), (40, 2), (36, 2), (128, 8), (16, 1), (6, 1)])
def test_heads_have_an_even_number_of_channels(dim, heads):
    assert head_count(dim) == heads
    assert dim % (2 * heads) == 0


def test_the_width_of_a_head_is_a_choice():
    assert head_count(128, width=32) == 4


def test_channels_first_moves_the_channels_and_back():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x.shape)
            return 2 * x

    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(ChannelsFirst(Spy())(x), 2 * x)
    assert seen == [(2, 4, 5, 3)]


def test_two_in_turn_are_two_residual_layers():
    torch.manual_seed(0)
    pair = TwoInTurn(6, nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1))
    x = torch.randn(2, 6, 5, 5)
    y = x + pair.first(x)
    torch.testing.assert_close(x + pair(x), y + pair.second(pair.norm(y)))
