"""Exit by class: confident tokens leave, but the most confident ones of each class stay."""

from __future__ import annotations

from math import isnan

import torch
from torch import Tensor

from claimbench.kernels.exit_by_class import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "exit_by_class"]

NAME = "exit_by_class"


def _check(args: reference.Arguments) -> None:
    scores, gone, threshold, keep = args
    if scores.dim() != 3 or scores.shape[1] < 1:
        raise ValueError(f"{NAME}: scores must be (B, classes, N) with at least one class, got {tuple(scores.shape)}")
    if not scores.is_floating_point():
        raise ValueError(f"{NAME}: scores must be floating point, got {scores.dtype}")
    expected = (scores.shape[0], scores.shape[2])
    if gone.shape != expected or gone.dtype != torch.bool or gone.device != scores.device:
        raise ValueError(
            f"{NAME}: gone must be {expected} in bool on {scores.device}, got {tuple(gone.shape)} in {gone.dtype} on "
            f"{gone.device}"
        )
    if isnan(threshold) or not 0 <= threshold <= 1:
        raise ValueError(f"{NAME}: threshold must be from 0 to 1, got {threshold}")
    if keep < 0:
        raise ValueError(f"{NAME}: keep must not be negative, got {keep}")


def _fake(args: reference.Arguments) -> Tensor:
    """Return an empty mask (B, N)."""
    return args.scores.new_empty(args.gone.shape)


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.exit_by_class,
    fake=_fake,
    check=_check,
)


def exit_by_class(scores: Tensor, gone: Tensor, threshold: float, keep: int) -> Tensor:
    """Return which tokens go on after an exit, for all images and classes at once.

    A token leaves if its best class score is more than ``threshold``, unless fewer than ``keep`` leaving tokens of that
    image and of the same best class have a higher score. Of equal scores the earlier class and the earlier token count
    as the higher. A threshold of 1 means that no token leaves; a token with a NaN among its scores goes on. ``keep``
    counts among the leaving tokens alone, so that an image in which none leaves stays as it is.

    Args:
        scores: (B, classes, N), floating point, any strides. Their gradient is zero.
        gone: (B, N), bool, the tokens that left before: their scores are not looked at.
        threshold: from 0 to 1, rounded to scores' dtype.
        keep: the number of leaving tokens of each class that stay, at least 0.

    Returns:
        (B, N) in bool, contiguous, True for tokens that go on.

    Raises:
        ValueError: a shape, a dtype, ``threshold`` or ``keep`` is not as above.

    Source: Tang et al., "Dynamic Token Pruning in Plain Vision Transformers for Semantic Segmentation", ICCV 2023,
    arXiv 2308.01045, section 3.2.
    """
    return OPERATOR(scores, gone, threshold, keep) > 0
