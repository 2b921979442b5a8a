"""DiNAT and NAT: hierarchies of neighbourhood attention (Hassani et al., arXiv 2204.07143 and 2209.15001)."""
