"""From scores to ranked classes, so that the same picture always gives the same ranks.

Floating-point sums depend on how a batch is split over kernels and threads. Two classes whose scores lie closer than
that noise would change places with the batch size. Such pictures are settled by the model alone with the picture, in
float64 (half precisions, and models that know no float64: alone, in their own precision). Exact ties go to the class
with the lower number.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.task import Subject

TOP = 5
"""The number of highest-ranked classes kept of each picture."""

CLOSE: dict[str, float] = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 1e-2, "bf16": 5e-2}
"""Two neighbouring scores are close if they differ by less than this part of the picture's scale: far above the noise
of the precision (about 1e-6 in float32). The scale is the range of its scores, or the largest if that is more."""

LEAST_SCALE = 0.05
"""Scores that are all next to nothing are noise themselves."""


def logits_of(output: Any) -> Tensor:
    """Return the class scores (N, classes) among a model's outputs: the first that looks like them.

    Raises:
        UnavailableError: none does.
    """
    if isinstance(output, Tensor) and output.dim() == 2:
        return output
    inner = list(output.values()) if isinstance(output, Mapping) else output
    if isinstance(inner, list | tuple):
        for item in inner:
            if isinstance(item, Tensor) and item.dim() == 2:
                return item
    shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise UnavailableError(f"accuracy needs scores for classes, and the model returns {shape}")


def rank(scores: Tensor, close: float, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the classes ranked highest, best first (N, up to 5), and the pictures whose neighbouring scores are close.

    Args:
        scores: (N, classes), any floating dtype.
        close: see :data:`CLOSE`.
        allowed: the classes that take part, ascending; all by default.
    """
    chosen = scores if allowed is None else scores[:, allowed]
    ordered, order = chosen.sort(dim=1, descending=True, stable=True)
    top = min(TOP, chosen.shape[1])
    gaps = ordered[:, :top][:, : chosen.shape[1] - 1] - ordered[:, 1 : top + 1]
    scale = torch.maximum(ordered[:, :1] - ordered[:, -1:], chosen.abs().amax(dim=1, keepdim=True))
    near = (gaps <= close * scale.clamp(min=LEAST_SCALE)).any(dim=1)
    ranked = order[:, :top]
    return (ranked if allowed is None else allowed[ranked]), near


class Ranker:
    """Ranks the classes of pictures by a model's scores."""

    def __init__(self, subject: Subject, precision: str, allowed: list[int] | None = None) -> None:
        self._subject = subject
        self._forward = subject.forward()
        self._close = CLOSE[precision]
        self._exact = precision in ("fp32", "tf32")
        self._allowed = None if allowed is None else torch.tensor(allowed, device=subject.device)
        self._judge: nn.Module | None = None

    @torch.inference_mode()
    def __call__(self, samples: Tensor) -> tuple[list[list[int]], list[bool]]:
        """Return the ranked classes of each picture, and whether it was a near tie that was settled alone.

        Raises:
            UserError: a score is not a number.
            UnavailableError: the model gives no scores for classes.
        """
        scores = logits_of(self._forward(self._subject.place(samples))).float()
        self._check(scores)
        ranked, near = rank(scores, self._close, self._allowed)
        found, settled = ranked.tolist(), near.tolist()
        for number, is_near in enumerate(settled):
            if is_near:
                found[number] = self._settle(samples[number : number + 1])
        return found, settled

    def _settle(self, sample: Tensor) -> list[int]:
        placed = self._subject.place(sample)
        scores = self._exactly(placed) if self._exact else None
        if scores is None:
            scores = logits_of(self._subject.model(placed))
        self._check(scores)
        best: list[int] = rank(scores.double(), 0.0, self._allowed)[0][0].tolist()
        return best

    def _exactly(self, placed: Tensor) -> Tensor | None:
        """Return the scores in float64, from a copy of the model; None for a model that knows no float64."""
        try:
            if self._judge is None:
                self._judge = copy.deepcopy(self._subject.model).double()
            return logits_of(self._judge(placed.double()))
        except (RuntimeError, NotImplementedError, TypeError):
            self._exact, self._judge = False, None
            return None

    @staticmethod
    def _check(scores: Tensor) -> None:
        if not bool(torch.isfinite(scores).all()):
            raise UserError("the model's scores are not finite numbers: its weights are damaged, or overflow here")
