"""Visual Attention Network (Guo et al., arXiv 2202.09741)."""
