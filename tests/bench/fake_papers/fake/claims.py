import os

from claimbench.bench.papers.claims import ClaimResult, Evidence


def is_small(context):
    found = context.measure("fake_s", "merged", "params")
    return ClaimResult("holds" if found and found < 1000 else "untested", (Evidence("params", found),), "For a test.")


def dies(context):
    if os.environ.get("FAKE_CLAIM_DIES"):
        raise SystemExit(3)
    return ClaimResult("untested", (), "It dies if it is asked to.")
