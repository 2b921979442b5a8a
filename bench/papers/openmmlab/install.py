"""A check that the packages of an integration are installed; it imports none of them."""

from __future__ import annotations

from importlib.util import find_spec

from claimbench.bench.core.errors import UserError

OPENMMLAB = ("mmengine", "mmcv", "mmseg", "mmdet")
HOW = "pip install -e '.[openmmlab]'"


def require_openmmlab() -> None:
    """Check that OpenMMLab's packages are installed.

    Raises:
        UserError: one is not installed; the sentence gives the command that installs it.
    """
    missing = [name for name in OPENMMLAB if find_spec(name) is None]
    if missing:
        raise UserError(f"backbones with heads need OpenMMLab's packages ({', '.join(missing)} missing): {HOW}")
