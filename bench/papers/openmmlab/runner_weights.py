"""Reads weights that OpenMMLab's runner has written: beside them stands the history of the losses."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from numpy._core import multiarray
from torch import Tensor

from claimbench.bench.papers.models.state import load_state

STATISTICS = ("min", "max", "mean", "current")


def read(path: str) -> dict[str, Tensor]:
    """Return the tensors of a weights file, by name.

    Raises:
        UserError: as :func:`claimbench.bench.papers.models.state.load_state`; code that is hidden in the file is never
        run.
    """
    cores = ("numpy.core", "numpy._core")  # the name in numpy 1, and in numpy 2
    known: list[Any] = [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in ("int32", "int64", "float32", "float64")},
        *((multiarray._reconstruct, f"{core}.multiarray._reconstruct") for core in cores),
        *((multiarray.scalar, f"{core}.multiarray.scalar") for core in cores),
        (_statistic, "builtins.getattr"),
    ]
    with torch.serialization.safe_globals(known):
        return load_state(path)


def _statistic(owner: Any, name: str) -> Any:
    """Stand in for ``getattr``, with which a history names its statistics, and which could reach anything."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(f"it asks for {name} of {owner}")
    return getattr(HistoryBuffer, name)
