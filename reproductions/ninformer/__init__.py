"""NiNformer (Abdullah and Elshazly, arXiv 2403.02411)."""
