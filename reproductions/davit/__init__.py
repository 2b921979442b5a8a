"""DaViT: attention among the tokens of a window in turn with attention among the channels (Ding et al., ECCV 2022)."""
