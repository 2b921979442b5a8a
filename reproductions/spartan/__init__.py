"""SpaRTAN: spatial reinforcement token-based aggregation (IJCNN 2025, arXiv 2507.10999)."""
