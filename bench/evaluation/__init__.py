"""Evaluation on real data sets: what they must hold, whether they do, and how a model is scored on them."""
