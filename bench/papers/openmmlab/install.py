"""Whether the packages of an integration are there, and what to do if not; asking imports none of them."""

from __future__ import annotations

from importlib.util import find_spec

from claimbench.bench.core.errors import UserError

OPENMMLAB = ("mmengine", "mmcv", "mmseg", "mmdet")
HOW = "pip install -e '.[openmmlab]'"


def require_openmmlab() -> None:
    """Check that OpenMMLab's packages are installed.

    Raises:
        UserError: one is not installed; says how to install it.
    """
    missing = [name for name in OPENMMLAB if find_spec(name) is None]
    if missing:
        raise UserError(f"backbones with heads need OpenMMLab's packages ({', '.join(missing)} missing): {HOW}")
