"""State-space models for pictures and medical images (arXiv 2406.03430): Vim, VMamba, VM-UNet and U-Mamba."""
