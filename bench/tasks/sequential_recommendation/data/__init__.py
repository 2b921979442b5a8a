"""Interactions of users with items: found, read, checked, split."""

from claimbench.bench.tasks.sequential_recommendation.data.opening import find

__all__ = ["find"]
