"""Training a paper's model by the paper's own recipe."""
