"""Dynamic Hybrid Vision Transformer (Lu et al., NeurIPS 2022, arXiv 2210.05958)."""
