"""MOAT: mobile convolution alternating with attention (Yang et al., ICLR 2023, arXiv 2210.01820)."""
