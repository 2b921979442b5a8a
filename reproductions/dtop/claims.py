"""The experiments behind DToP's headline claims."""

from __future__ import annotations

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence

PAIRS = {
    "dtop_vit_b_512": ("segvit_vit_b_512_base", 109.9, 86.8, "ade20k"),
    "dtop_vit_l_640": ("segvit_vit_l_640_base", 617.0, 412.8, "ade20k"),
    "dtop_vit_l_480_pascal": ("segvit_vit_l_480_pascal_base", 315.4, 224.3, "pascal_context59"),
    "dtop_vit_l_512_coco10k": ("segvit_vit_l_512_coco10k_base", 366.9, 276.2, "coco_stuff10k"),
}
"""Of each pruned model its base, the GFLOPs that the README prints for both, and the data set of their scores."""


def less_computation(context: ClaimContext) -> ClaimResult:
    """Compare the multiply-adds of the pruned models with those of their bases."""
    evidence = []
    for pruned, (base, whole, less, _) in PAIRS.items():
        ours, theirs = context.measure(pruned, "model", "macs"), context.measure(base, "model", "macs")
        ratio = ours / theirs if ours is not None and theirs else None
        evidence.append(
            Evidence(f"{pruned}: MACs over its base's, if no token leaves", ratio, "", f"{less / whole:.3f}")
        )
    return ClaimResult(
        "untested",
        tuple(evidence),
        "No weights are published. With random ones no token leaves, and a pruned model costs two heads more.",
    )
