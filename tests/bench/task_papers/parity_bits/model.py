"""Bits to the probability that their number is odd, by a layer on how many there are."""

import torch
from torch import nn


class Counter(nn.Module):
    """Integers (B, N) of 0 and 1, and which of them count (B, N), to ``{"logits": (B,), "ones": (B,)}``."""

    def __init__(self, width):
        super().__init__()
        self.up, self.down = nn.Linear(1, width), nn.Linear(width, 1)

    def forward(self, bits, counted):
        if bits.is_floating_point() or counted.dtype != torch.bool:
            raise TypeError("bits are integers, and what counts is true or false")
        ones = (bits * counted).sum(1)
        logits = self.down(torch.relu(self.up(ones[:, None].to(self.up.weight.dtype)))).squeeze(1)
        return {"logits": logits, "ones": ones}


def build(config, form=""):
    return Counter(config["width"])
