"""ConViT: vision transformers whose early attention starts as a convolution (d'Ascoli et al., ICML 2021)."""
