"""The experiments behind NiNformer's headline claims."""

from __future__ import annotations

from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.ninformer.model import Block, MixerBlock

DIM, HIDDEN, TOKENS, HEADS = 256, 512, 64, 4  # the repository's set-up on CIFAR-10
LITTLE_MORE = 1.25


class AttentionBlock(nn.Module):
    """A transformer block of the same width and the same MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv = nn.Linear(DIM, 3 * DIM)
        self.project = nn.Linear(DIM, DIM)
        self.mlp = Mlp(DIM, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        query, key, value = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.project(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def gating_costs_less(context: ClaimContext) -> ClaimResult:
    """Count a NiNformer block, a transformer block and a Mixer block of equal width, at equal numbers of tokens."""
    counts: dict[tuple[str, int], int] = {}
    evidence = []
    for tokens in (TOKENS, 4 * TOKENS, 16 * TOKENS):
        for name, block in (
            ("NiNformer", Block(DIM, tokens, HIDDEN, 0.0)),
            ("attention", AttentionBlock()),
            ("Mixer", MixerBlock(DIM, tokens, HIDDEN, 0.0)),
        ):
            size = parameters(block)
            counts[name, tokens] = macs(block, (1, tokens, DIM))
            evidence.append(Evidence(f"{name} block, {tokens} tokens: multiply-adds", counts[name, tokens], "MAC"))
            if tokens == TOKENS:
                evidence.append(Evidence(f"{name} block, {tokens} tokens: parameters", size, "params"))
    attention, mixer = (counts["NiNformer", TOKENS] / counts[other, TOKENS] for other in ("attention", "Mixer"))
    cheaper_at = [
        tokens for (name, tokens), work in counts.items() if name == "NiNformer" and work < counts["attention", tokens]
    ]
    parts = {
        f"{attention:.2f}x attention's multiply-adds": attention < 1,
        f"{mixer:.2f}x Mixer's": mixer < LITTLE_MORE,
        "inference time": None,
    }
    limits = (
        f"Counts at equal width, judged at the repository's {TOKENS} tokens; the sizes of its baselines are unknown. "
        f"Little more is read as below {LITTLE_MORE:g} times, a bound set here. "
        + (f"From {cheaper_at[0]} tokens the gate costs less than attention." if cheaper_at else "")
    )
    return concluded(parts, evidence, limits.strip())
