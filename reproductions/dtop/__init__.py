"""DToP: tokens of a plain ViT that an auxiliary head segments with confidence leave the network there."""
