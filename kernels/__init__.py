"""Shared operators: each folder is one operator with a reference, a native and a Triton backend.

Public names are imported from the operator's own folder, for example
``from claimbench.kernels.neighborhood_aggregate import neighborhood_aggregate``. Nothing here knows of any paper, and
nothing but torch (and Triton where present) is imported.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claimbench.kernels.operator import Operator

__all__ = ["find_operator", "operator_names"]


def operator_names() -> list[str]:
    """Return the names of all operators, sorted: every folder of this package that holds a ``cost.py``."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/cost.py"))


def find_operator(name: str) -> Operator:
    """Return the :class:`~claimbench.kernels.operator.Operator` called ``name``.

    Raises:
        KeyError: no operator has that name.
    """
    if name not in operator_names():
        raise KeyError(name)
    found: Operator = import_module(f"claimbench.kernels.{name}").OPERATOR
    return found
