"""Bits to the probability that their number is odd, by a layer on how many there are."""

import torch
from torch import nn


class Counter(nn.Module):
    """Integers (B, N) of 0 and 1 to logits (B,)."""

    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(1, width), nn.Linear(width, 1)

    def forward(self, bits):
        if bits.is_floating_point():
            raise TypeError("bits are integers")
        return self.down(torch.relu(self.up(bits.sum(1, keepdim=True).to(self.up.weight.dtype)))).squeeze(1)


def build(config, form=""):
    return Counter(config["width"])
