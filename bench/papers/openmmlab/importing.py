"""Imports OpenMMLab's packages so that they work without compiled operators."""

from __future__ import annotations

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.openmmlab.install import HOW, require_openmmlab


def require() -> None:
    """Import the packages, with stand-ins for compiled operators that are missing.

    Raises:
        UserError: one is not installed, or does not work with the other installed packages.
    """
    require_openmmlab()
    try:
        from claimbench.bench.papers.openmmlab import operators

        operators.provide()
        import mmdet.models  # noqa: F401
        import mmseg.models  # noqa: F401
    except (ImportError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"OpenMMLab's packages cannot be imported ({reason}); install them again: {HOW}") from error
