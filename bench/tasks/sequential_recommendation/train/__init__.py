"""Trains recommenders by the recipes of their papers, with several seeds."""

from claimbench.bench.tasks.sequential_recommendation.train.command import train

__all__ = ["train"]
