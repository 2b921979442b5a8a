"""HaloNet: local self-attention in blocks with halos as the backbone's only spatial operator (Vaswani et al., 2021)."""
