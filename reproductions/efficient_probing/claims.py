"""The experiments behind the headline claims of efficient probing."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters, times
from claimbench.reproductions.efficient_probing.ep import EfficientProbing
from claimbench.reproductions.efficient_probing.model import REORDERS, build
from claimbench.reproductions.judging import concluded

DIM, TOKENS, BATCH = 768, 196, 8
SHAPE = (BATCH, TOKENS, DIM)
ATTENTIVE = ("aim", "abmilp", "simpool", "clip", "siglip", "coca", "cait", "dinovit", "jepa", "dolg", "cae")
"""The attentive heads that have projections; CBAM and SimPool without linears have next to no parameters."""
LIGHT = ("cbam", "esimpool")
CONVENTIONAL = ("aim", "cae", "cait", "jepa", "siglip", "coca", "clip", "dinovit")
"""The heads on multi-head attention, from one query on projected keys and values to a whole transformer block."""
REPEATS = 7
PARTED = 0.9


def _head(pooling: str, form: str, queries: int = 32) -> nn.Module:
    own = {"ep": {"num_queries": queries}, "aim": {"num_heads": 12}, "jepa": {"num_heads": 12}}.get(pooling, {})
    return build({"pooling": pooling, "dim": DIM, "tokens": TOKENS, **own}, form).eval()


def fewer_parameters(context: ClaimContext) -> ClaimResult:
    """Compare parameters, pooling and classifier of 1000 classes, of every attentive head with those of EP."""
    reported = {"ep": "1.36", "aim": "1.95"}
    ours = parameters(_head("ep", "official", 12))
    counts = {name: parameters(_head(name, "official")) for name in (*ATTENTIVE, *LIGHT)}
    evidence = [Evidence("EP, 12 queries: parameters", ours / 1e6, "M", reported["ep"])]
    evidence += [
        Evidence(f"{name}: parameters", count / 1e6, "M", reported.get(name, "")) for name, count in counts.items()
    ]
    fewer = [name for name, count in counts.items() if ours < count]
    lighter = [name for name in counts if name not in fewer]
    limits = "Width 768, the other heads as the official script builds them, AIM and V-JEPA with 12 heads."
    parts: dict[str, bool | None] = {f"fewer than {len(fewer)} of {len(counts)} other heads": bool(fewer)}
    if lighter:
        parts[f"fewer than {', '.join(lighter)}"] = False
    return concluded(parts, evidence, limits)


def faster_than_attention(context: ClaimContext) -> ClaimResult:
    """Compare multiply-adds and time of EP with those of heads on multi-head attention, as official and reordered.

    All heads take turns on the same tokens, so that their ratios hold on a shared machine too.
    """
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    runs = {("ep", form): _head("ep", form) for form in ("official", "reordered")}
    for name in CONVENTIONAL:
        forms = ("official", "reordered") if name in REORDERS else ("official",)
        runs |= {(name, form): _head(name, form) for form in forms}
    seconds = times({f"{n} {f}": partial(head, x) for (n, f), head in runs.items()}, repeats=REPEATS)
    work = {key: macs(head, SHAPE) for key, head in runs.items()}
    evidence: list[Evidence] = []
    ratios, reordered = {}, {}
    for name in CONVENTIONAL:
        ratios[name] = seconds[f"{name} official"] / seconds["ep official"]
        evidence += [
            Evidence(f"{name} over EP, both as official: time", ratios[name]),
            Evidence(
                f"{name} over EP, both as official: multiply-adds", work[name, "official"] / work["ep", "official"]
            ),
        ]
        if name in REORDERS:
            reordered[name] = seconds[f"{name} reordered"] / seconds["ep reordered"]
            evidence.append(Evidence(f"{name} over EP, both reordered: time", reordered[name]))
    gain = seconds["ep official"] / seconds["ep reordered"]
    evidence.append(Evidence("EP as official over EP reordered, the same output: time", gain))
    largest = max(ratios, key=lambda name: ratios[name])
    one_query = max(ratios[name] for name in CONVENTIONAL if name not in ("clip", "dinovit"))
    parts: dict[str, bool | None] = {
        f"up to {ratios[largest]:.1f}x as fast ({largest})": ratios[largest] > 1,
        f"ten times one-query heads ({one_query:.1f}x)": one_query >= 10,
    }
    slower = [name for name, ratio in reordered.items() if ratio < 1]
    limits = (
        f"Tokens {SHAPE} on this CPU, float32, no gradients. The largest ratio is that of {largest}; heads with one "
        f"query, which is what attentive probing conventionally means, stay at {one_query:.2g} times. Reordered, the "
        "other heads lose their projections of every token too"
        + (f"; {' and '.join(slower)} {'are' if len(slower) > 1 else 'is'} then faster than EP." if slower else ".")
    )
    return concluded(parts, evidence, limits, stand_in="on a CPU")


def complementary_maps(context: ClaimContext) -> ClaimResult:
    """Train EP on made-up tokens, four of which carry a part of the class; measure the overlap of its queries' maps.

    The figure is about the effect of training on the maps, not about a real encoder.
    """
    torch.manual_seed(0)
    classes, dim, tokens = 8, 64, 49
    marks, places = torch.randn(classes, 4, dim), torch.randn(tokens, dim)
    head = build({"pooling": "ep", "dim": dim, "num_queries": 8, "num_classes": 16}, "reordered")
    assert isinstance(head.pool, EfficientProbing)

    def draw(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens (B, N, D) with four marked places, and the choice of their marks as one of 16 classes (B,)."""
        bits = torch.randint(2, (batch, 4))
        x = 0.5 * torch.randn(batch, tokens, dim) + places
        for part in range(4):
            x[:, 12 * part] += 2 * marks[bits[:, part], part]
        return x, (bits * torch.tensor([1, 2, 4, 8])).sum(1)

    probe, _ = draw(64)
    before = overlap(head.pool.attention(probe))
    optimizer = torch.optim.AdamW(head.parameters(), lr=5e-3)
    for _ in range(200):
        x, y = draw(64)
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        x, y = draw(1024)
        right = (head.eval()(x).argmax(1) == y).float().mean().item()
        after = overlap(head.pool.attention(probe))
    evidence = (
        Evidence("mean cosine of pairs of maps before training", before),
        Evidence("mean cosine of pairs of maps after training", after),
        Evidence("accuracy of the trained head", 100 * right, "%"),
    )
    limits = (
        "Tokens with four informative places, one seed: whether maps part, not what they mean. They part where their "
        f"cosine falls below {PARTED:g} of that before training, a bound set here."
    )
    parts: dict[str, bool | None] = {"parting of the maps": after < PARTED * before and right > 0.5}
    return concluded(parts, evidence, limits, stand_in="on made-up tokens")


def overlap(maps: torch.Tensor) -> float:
    """Return the mean cosine similarity of two maps of one image, over all pairs and images; maps are (B, Q, N)."""
    unit = nn.functional.normalize(maps.detach(), dim=-1)
    cosine = unit @ unit.mT
    queries = maps.shape[1]
    return float((cosine.sum((1, 2)) - queries).mean() / (queries * (queries - 1)))
