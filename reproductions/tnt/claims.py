"""The experiments behind TNT's headline claims."""

from __future__ import annotations

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters
from claimbench.reproductions.judging import concluded, measured
from claimbench.reproductions.tnt.block import Block, InnerTransformer

# TNT-S: 196 sentences of 16 words.
SENTENCES, WORDS, DIM, WORD_DIM, HEADS, WORD_HEADS = 196, 16, 384, 24, 6, 4
CHEAP = 0.25
PRINTED = (5.15 / 4.35, 5.25 / 4.25)
"""What 5.2 over 4.3 may be before both are rounded."""


def inner_share(context: ClaimContext) -> ClaimResult:
    """Count the share of the inner transformer in a block of TNT-S, and compare the whole model with DeiT-S."""
    inner = InnerTransformer(WORD_DIM, DIM, WORDS, WORD_HEADS, 4, joint_norm=False)
    whole = Block(DIM, HEADS, 4, 0.0, inner)
    plain = Block(DIM, HEADS, 4, 0.0, None)
    size = parameters(inner) / parameters(whole)
    words, sentences = (SENTENCES, WORDS, WORD_DIM), (1, 1 + SENTENCES, DIM)
    with_words = macs(whole, words, sentences, call=lambda *tokens: whole(*tokens)[1])
    without = macs(plain, words, sentences, call=lambda *tokens: plain(*tokens)[1])
    work = 1 - without / with_words
    ours, theirs = (
        context.measure(subject, form, "macs")
        for subject, form in (("tnt_s_patch16_224", "model"), ("timm:deit_small_patch16_224", ""))
    )
    speeds = [
        context.measure(subject, form, "throughput")
        for subject, form in (("tnt_s_patch16_224", "model"), ("timm:deit_small_patch16_224", ""))
    ]
    evidence = (
        Evidence("inner transformer's share of a block's multiply-adds", work),
        Evidence("inner transformer's share of a block's parameters", size),
        Evidence("TNT-S multiply-adds", ours, "MAC", "5.2 G"),
        Evidence("TNT-S multiply-adds over DeiT-S's", ours / theirs if ours and theirs else None, "", "1.21"),
        Evidence("TNT-S throughput over DeiT-S's", speeds[0] / speeds[1] if speeds[0] and speeds[1] else None),
    )
    more = ours / theirs if ours and theirs else None
    speed = speeds[0] / speeds[1] if speeds[0] and speeds[1] else None
    limits = (
        f"Little is read as below {CHEAP:.0%} of a block's multiply-adds and of DeiT-S's time, bounds set here. "
        "Multiply-adds are not time: the inner attention runs over very many sequences of 16 tokens."
    )
    share: dict[str, bool | None] = {f"{work:.0%} of a block's multiply-adds": work < CHEAP}
    model = measured(more, "DeiT-S's multiply-adds", lambda ratio: PRINTED[0] <= ratio <= PRINTED[1])
    pace = measured(1 / speed if speed else None, "DeiT-S's time", lambda ratio: ratio < 1 + CHEAP)
    return concluded(share | model | pace, evidence, limits, main=share)
