"""Right parities, and what is known of them beyond guessing."""

import math

import torch
from torch.nn.functional import binary_cross_entropy_with_logits


def exact(logits, odd):
    """Return how many of the parities (B,) are right, in per cent."""
    return 100 * ((logits > 0) == odd).to(torch.float64).mean().item()


def gain(logits, odd):
    """Return by how many bits a word the parities (B,) are better known than by guessing."""
    nats = binary_cross_entropy_with_logits(logits, odd.to(logits.dtype)).item()
    return 1 - nats / math.log(2)
