"""Self-Attentive Sequential Recommendation (ICDM 2018)."""
