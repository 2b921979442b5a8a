"""Multi-scale self-guided attention for medical image segmentation (arXiv 1906.02849)."""
