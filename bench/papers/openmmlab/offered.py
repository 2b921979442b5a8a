"""Networks of other tasks around the backbones of papers, as these tasks offer them: OpenMMLab's, loaded when built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claimbench.bench.papers.openmmlab.install import require_openmmlab

if TYPE_CHECKING:
    from torch import nn

    from claimbench.bench.core.records import Job


def require() -> None:
    """Check that OpenMMLab's packages are installed.

    Raises:
        UserError: one is not. The message says how to install it.
    """
    require_openmmlab()


def build(job: Job) -> nn.Module:
    """Return the network that a job's variant names, with the weights of its file if it has one.

    Raises:
        UserError: the network or its backbone does not exist, or the file does not fit.
    """
    from claimbench.bench.papers.openmmlab import measured  # loads the packages that require() looks for

    return measured.build(job)
