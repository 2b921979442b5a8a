"""Trains classifiers by the recipes of their papers."""

from claimbench.bench.tasks.image_classification.train.command import train

__all__ = ["train"]
