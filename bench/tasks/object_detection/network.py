"""Detectors around the backbones that variants name, built with OpenMMLab's packages."""

from claimbench.bench.papers.openmmlab.offered import build, require

__all__ = ["build", "require"]
