"""Trains recommenders by the recipes of their papers, with several seeds."""
