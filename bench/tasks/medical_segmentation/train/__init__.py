"""``bench train`` for medical segmentation: the small networks of a paper's study, on the slabs of one volume."""

from claimbench.bench.tasks.medical_segmentation.train.command import train

__all__ = ["train"]
