"""RMT: vision transformers whose attention decays with the Manhattan distance (Fan et al., CVPR 2024)."""
