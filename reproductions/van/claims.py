"""The experiments behind VAN's headline claims."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import GLOBAL_SIDES, HOW_GROWN, LOCAL_SIDES, growths, macs, parameters
from claimbench.reproductions.judging import concluded, grown, linear
from claimbench.reproductions.van.model import LargeKernelAttention

WIDTHS = (64, 128, 320, 512)  # of the stages of B2
SMALL_FRACTION = 0.05


class SelfAttention(nn.Module):
    """Softmax self-attention over all positions of (B, C, H, W), one head in 32 channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, H * W, C)."""
        tokens = self.qkv(x.flatten(2).transpose(1, 2))
        query, key, value = tokens.unflatten(-1, (3, -1, 32)).permute(2, 0, 3, 1, 4)
        return self.project(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


def decomposition_is_cheap(context: ClaimContext) -> ClaimResult:
    """Compare large kernel attention with one dense 21x21 convolution: parameters and multiply-adds."""
    evidence: list[Evidence] = []
    shares: dict[str, list[float]] = {"parameters": [], "multiply-adds": []}
    for width in WIDTHS:
        kernel, dense = LargeKernelAttention(width), nn.Conv2d(width, width, 21, padding=10)
        size = parameters(kernel) / parameters(dense)
        work = macs(kernel, (1, width, 14, 14)) / macs(dense, (1, width, 14, 14))
        shares["parameters"].append(size)
        shares["multiply-adds"].append(work)
        evidence += [
            Evidence(f"{width} channels: parameters over those of a dense 21x21 convolution", size),
            Evidence(f"{width} channels: multiply-adds over those of a dense 21x21 convolution", work),
        ]
    parts = {f"{max(each):.1%} of the {cost}": max(each) < SMALL_FRACTION for cost, each in shares.items()}
    limits = (
        f"Small is read as below {SMALL_FRACTION:.0%}. The decomposition has fewer degrees of freedom than the kernel."
    )
    return concluded(parts, evidence, limits)


def cost_is_linear(context: ClaimContext) -> ClaimResult:
    """Compare the growth of the cost of large kernel attention and of self-attention with the number of positions."""
    width = WIDTHS[0]
    ours = growths(lambda: LargeKernelAttention(width), {side**2: (1, width, side, side) for side in LOCAL_SIDES})
    theirs = growths(lambda: SelfAttention(width), {side**2: (1, width, side, side) for side in GLOBAL_SIDES})
    evidence = [*grown("large kernel attention", ours), *grown("self-attention", theirs)]
    return concluded(linear(ours), evidence, HOW_GROWN, main=["MACs"])
