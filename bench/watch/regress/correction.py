"""Many comparisons at once: p-values that hold for all of them together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values so adjusted that calling those below a level significant errs at all no more often than that.

    Holds whatever the dependence between the tests. Source: S. Holm, A simple sequentially rejective multiple test
    procedure, Scandinavian Journal of Statistics 6 (1979).
    """
    values = np.asarray(p_values)
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(values), 0, -1) * values[order]))
    return adjusted.tolist()
