"""Probing heads: a pooling of a frozen encoder's tokens, a batch normalisation without weights, a linear classifier.

Psomas et al., "Attention, Please! Revisiting Attentive Probing Through the Lens of Efficiency", arXiv 2506.10178.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.efficient_probing.cross import CAE, JEPA, Aim, CaiT, CoCa, SigLIP
from claimbench.reproductions.efficient_probing.ep import EfficientProbing
from claimbench.reproductions.efficient_probing.pools import CBAM, CLIP, DOLG, AbMILP, ESimPool, Mean, SimPool, ViTBlock

__all__ = ["POOLINGS", "REORDERS", "ProbeHead", "build"]

POOLINGS: Mapping[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "ep": (EfficientProbing, ("num_queries", "d_out", "qkv_bias")),
    "aim": (Aim, ("num_heads", "num_queries")),
    "abmilp": (AbMILP, ("self_attention", "activation", "depth")),
    "simpool": (SimPool, ()),
    "esimpool": (ESimPool, ("num_heads",)),
    "clip": (CLIP, ("tokens", "num_heads")),
    "siglip": (SigLIP, ("num_heads",)),
    "cbam": (CBAM, ()),
    "coca": (CoCa, ("num_queries", "num_heads", "head_dim")),
    "cait": (CaiT, ("num_heads",)),
    "dinovit": (ViTBlock, ("num_heads",)),
    "jepa": (JEPA, ("num_heads",)),
    "dolg": (DOLG, ()),
    "cae": (CAE, ("num_heads",)),
    "linear": (Mean, ()),
}
"""Each pooling's class and the hyper-parameters that it takes beside the width of the tokens."""

REORDERS = ("ep", "aim", "simpool", "clip", "siglip", "coca", "cait", "jepa", "cae")
"""The poolings whose projections can be moved to the queries and behind the pooling."""

_ATTENTIVE_HEADS = ("aim", "esimpool", "clip", "siglip", "cait", "dinovit", "jepa", "cae")
"""The poolings that divide the width of the tokens among ``num_heads`` heads."""


class ProbeHead(nn.Module):
    """classifier(norm(pool(x))) for tokens (B, N, D), or for pooled features (B, D) in the linear probe."""

    def __init__(self, pool: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.pool = pool
        self.norm = nn.BatchNorm1d(width, eps=1e-6, affine=False)
        self.classifier = nn.Linear(width, num_classes)
        self.config: dict[str, Any] = {}
        self.form = ""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, classes)."""
        return self.classifier(self.norm(self.pool(x)))


def build(config: Mapping[str, Any], form: str = "reordered") -> ProbeHead:
    """Return the head that ``config`` describes.

    Args:
        config: ``pooling`` (a name of :data:`POOLINGS`), ``dim`` D, ``num_classes`` and the pooling's own
            hyper-parameters; ``tokens`` N matters to the CLIP head alone.
        form: ``official`` has the steps of the official code; ``reordered`` gives the same output with the projections
            moved to the queries and behind the pooling, and without outputs that nothing reads.

    Raises:
        ValueError: the pooling or the form does not exist, or a number does not fit another.
    """
    name, dim = config.get("pooling", "ep"), config["dim"]
    if name not in POOLINGS:
        raise ValueError(f"there is no pooling {name!r}; there are {', '.join(POOLINGS)}")
    if form not in ("official", "reordered"):
        raise ValueError(f"a probing head is built as official or reordered, got {form!r}")
    kind, takes = POOLINGS[name]
    chosen = {key: config[key] for key in takes if key in config}
    heads = chosen.get("num_heads", 1)
    if name in _ATTENTIVE_HEADS and dim % heads:
        raise ValueError(f"the {dim} channels of the tokens do not divide among {heads} heads")
    if name in REORDERS:
        chosen["reorder"] = form == "reordered"
    pool = kind(**chosen) if name == "linear" else kind(dim, **chosen)
    head = ProbeHead(pool, dim // config.get("d_out", 1) if name == "ep" else dim, config.get("num_classes", 1000))
    head.config, head.form = dict(config), form
    return head
