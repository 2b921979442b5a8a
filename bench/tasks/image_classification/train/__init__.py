"""Trains classifiers by the recipes of their papers."""
