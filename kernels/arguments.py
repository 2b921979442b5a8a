"""The check of dtypes that operators share."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def check_dtypes(name: str, args: Any, keeps_dtype: tuple[str, ...] = ()) -> None:
    """Raise ValueError if a tensor is not floating point, or has not the first one's dtype.

    Args:
        name: the operator's.
        args: its ``Arguments``.
        keeps_dtype: the names of tensors that may have another floating dtype.
    """
    tensors = {field: value for field, value in args._asdict().items() if isinstance(value, Tensor)}
    dtype = next(iter(tensors.values())).dtype
    for field, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name}: {field} must be floating point, got {tensor.dtype}")
        if tensor.dtype != dtype and field not in keeps_dtype:
            raise ValueError(
                f"{name}: {field} must have the dtype of {next(iter(tensors))}, {dtype}, got {tensor.dtype}"
            )
