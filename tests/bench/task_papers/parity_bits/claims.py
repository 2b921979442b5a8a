from claimbench.bench.papers.claims import ClaimResult, Evidence


def learnt(context):
    """Looks at what ``bench train`` left."""
    models = [model for model in context.trained() if model.variant == "counter" and model.dataset == "bits"]
    if not models:
        return ClaimResult("untested", (), "Needs a trained model: bench train --paper parity_bits --data FILE.")
    gain = models[-1].figures["gain"]
    return ClaimResult("holds" if gain > 0 else "fails", (Evidence("gain", gain, "bits", "0.5"),), "One file of words.")
