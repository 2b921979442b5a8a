"""Efficient probing and the attentive pooling heads it is compared with (Psomas et al., arXiv 2506.10178)."""
