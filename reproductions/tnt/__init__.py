"""TNT: a transformer over words of 4x4 pixels inside a transformer over 16x16 patches (Han et al., NeurIPS 2021)."""
