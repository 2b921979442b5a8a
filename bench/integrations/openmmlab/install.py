"""Whether OpenMMLab's packages are there, and what to do if not."""

from __future__ import annotations

from importlib.util import find_spec

from bench.errors import UserError

PACKAGES = ("mmengine", "mmcv", "mmseg", "mmdet")
HOW = "pip install -e '.[openmmlab]'"


def require() -> None:
    """Import the packages, with stand-ins for compiled operators that are missing.

    Raises:
        UserError: one is not installed, or does not work with what is installed beside it.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(f"backbones with heads need OpenMMLab's packages ({', '.join(missing)} missing): {HOW}")
    try:
        from bench.integrations.openmmlab import operators

        operators.provide()
        import mmdet.models
        import mmseg.models  # noqa: F401
    except (ImportError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"OpenMMLab's packages cannot be imported ({reason}); install them again: {HOW}") from error
