"""Mixers for tests; the environment variable FAKE_STUDY makes them misbehave."""

import os
import time

import torch
from torch import nn

DO, _, WHEN = os.environ.get("FAKE_STUDY", "").partition(":")


class Mixer(nn.Module):
    """A depthwise convolution that may go wrong at a training step."""

    def __init__(self, dim, kernel):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        if self.training:
            self.steps += 1
            if DO == "slow":
                time.sleep(float(WHEN))
            if DO == "nan" and self.steps > int(WHEN):
                return self.conv(x) * float("nan")
        out = self.conv(nn.functional.dropout(x, 0.1, self.training))
        return out[:, :, 1:] if DO == "shape" else out


def block(dim, size):
    return Mixer(dim, 3)


def counterpart(dim, size):
    if DO == "large":
        return nn.Conv2d(dim, dim, 7, padding=3)
    return Mixer(dim, 1)
