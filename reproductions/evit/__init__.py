"""EViT: vision transformers that keep their attentive tokens and fuse the rest (Liang et al., ICLR 2022)."""
