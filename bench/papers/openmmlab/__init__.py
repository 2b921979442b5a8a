"""The backbones of this repository in OpenMMLab's registries.

    import claimbench.bench.papers.openmmlab

registers every paper's backbone under the name of its variant in mmsegmentation and mmdetection, so that a
configuration says ``backbone=dict(type="overlock_t", drop_path=0.2, checkpoint="overlock_t.pth")``. In a configuration
file the line is ``custom_imports = dict(imports=["claimbench.bench.papers.openmmlab"])``.

:func:`config` returns a whole configuration for a network of the papers' tables, :func:`network` builds it.

Raises:
    UserError: on import, if the packages of the extra ``openmmlab`` are not installed.
"""

from __future__ import annotations

from claimbench.bench.papers.openmmlab.importing import require

require()

from claimbench.bench.papers.openmmlab.assemble import config, network  # noqa: E402
from claimbench.bench.papers.openmmlab.networks import NETWORKS, ToolboxNetwork  # noqa: E402
from claimbench.bench.papers.openmmlab.register import register  # noqa: E402

register()

__all__ = ["NETWORKS", "ToolboxNetwork", "config", "network"]
