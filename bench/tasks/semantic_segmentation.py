"""Semantic segmentation: pictures in, a class for each pixel out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.tasks.task import Task

if TYPE_CHECKING:
    from torch import nn

    from bench.records import Job


class SemanticSegmentation(Task):
    """Pictures (3, height, width) to a score for each class and pixel."""

    name = "semantic-segmentation"
    title = "Semantic segmentation"
    cpu_batch = 1
    memory_batch = 2

    def require(self) -> None:
        """Check that OpenMMLab's packages are installed."""
        from bench.integrations.install import require_openmmlab

        require_openmmlab()

    def build(self, job: Job) -> nn.Module:
        """Return a segmenter around the backbone that the variant names."""
        from bench.integrations.openmmlab.measured import build

        return build(job)


TASK = SemanticSegmentation()
