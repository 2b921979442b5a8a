"""The second opinion: fvcore traces the reference path, where every shared operator is plain PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from torch import nn

from claimbench.bench.core.task import arguments
from claimbench.kernels import backend

if TYPE_CHECKING:
    from claimbench.bench.core.task import Example

PRODUCTS = frozenset({"conv", "linear", "matmul", "mm", "bmm", "addmm", "einsum"})
"""fvcore's own counters of multiply-adds; its other counters (norms, pooling, resizing) are not like work."""


@dataclass(frozen=True)
class FvcoreCount:
    """The count of fvcore for one sample, in multiply-adds.

    Attributes:
        total: norms, pooling and resizing included, as papers count that write attention as two matrix products.
        own: the same with fvcore's own handlers alone, which pass over fused attention.
        products: convolutions, matrix products and attention alone, with our handlers for those that fvcore misses.
        by_operator: every non-zero count.
        added: those of them that come from our handlers and are not in ``own``.
        uncounted: calls of operators that fvcore has no handler for.
    """

    total: int
    own: int
    products: int
    by_operator: dict[str, int]
    added: tuple[str, ...]
    uncounted: dict[str, int]

    def beside(self, published: Mapping[str, int], ours: Mapping[str, int]) -> FvcoreCount:
        """Return the count with operators whose work fvcore passes over because it is elementwise.

        Args:
            published: what papers add to fvcore's count, by operator; goes into ``total``.
            ours: the operators' multiply-adds; go into ``products``.
        """
        return replace(
            self,
            total=self.total + sum(published.values()),
            products=self.products + sum(ours.values()),
            by_operator=dict(sorted({**self.by_operator, **published}.items())),
            added=(*self.added, *published),
        )


def count(model: nn.Module, sample: Example) -> FvcoreCount:
    """Trace ``model`` on ``sample`` (one sample, on the CPU) and count.

    Raises:
        Exception: whatever the tracer raises on a model it cannot follow.
    """
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), backend.use("reference"):
            warnings.simplefilter("ignore")
            from fvcore.nn import FlopCountAnalysis

            analysis = FlopCountAnalysis(model, arguments(sample))
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            analysis.set_op_handle(**HANDLERS)
            by_operator = {name: int(value) for name, value in analysis.by_operator().items() if value}
            uncounted = {name: int(calls) for name, calls in analysis.unsupported_ops().items()}
    finally:
        logger.setLevel(level)
    added = tuple(name for name in by_operator if f"aten::{name}" in HANDLERS)
    return FvcoreCount(
        total=sum(by_operator.values()),
        own=sum(value for name, value in by_operator.items() if name not in added),
        products=sum(value for name, value in by_operator.items() if name in PRODUCTS or name in added),
        by_operator=dict(sorted(by_operator.items())),
        added=added,
        uncounted=dict(sorted(uncounted.items())),
    )


def _shape(value: Any) -> list[int]:
    """Return the shape of a traced tensor."""
    sizes: list[int] = value.type().sizes()
    return sizes


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Count query times key and weights times value, dense."""
    query, key, value = (_shape(i) for i in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _baddbmm(inputs: list[Any], outputs: list[Any]) -> int:
    """Count the batched product of the second and third argument."""
    return prod(_shape(inputs[1])) * _shape(inputs[2])[-1]


def _matrix_vector(inputs: list[Any], outputs: list[Any]) -> int:
    """Count one multiply-add for each element of the matrix."""
    return prod(_shape(inputs[0]))


HANDLERS: dict[str, Callable[[list[Any], list[Any]], int]] = {
    "aten::scaled_dot_product_attention": _attention,
    "aten::baddbmm": _baddbmm,
    "aten::mv": _matrix_vector,
    "aten::dot": _matrix_vector,
}
"""Multiply-adds that fvcore has no handler for."""
