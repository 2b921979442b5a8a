"""Focal Modulation Networks (Yang et al., NeurIPS 2022, arXiv 2203.11926)."""
