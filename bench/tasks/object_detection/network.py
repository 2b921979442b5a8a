"""Detectors around the backbones that variants name, built with OpenMMLab's packages."""

from claimbench.bench.papers.openmmlab.network import build, require

__all__ = ["build", "require"]
