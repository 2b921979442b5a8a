"""DRCT: Swin blocks with dense connections for image super-resolution (Hsu et al., CVPR Workshops 2024)."""
