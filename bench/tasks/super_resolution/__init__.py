"""Image super-resolution: a small picture in, one some times larger out, judged by PSNR and SSIM of the luma."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import DataSet, Task
from claimbench.bench.tasks.super_resolution.catalogue import METHODS, SCALES, SETS, UNITS, row_names

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from claimbench.bench.core.listener import Listener
    from claimbench.bench.core.records import Job, Measurement
    from claimbench.bench.core.task import Subject

WHOSE = {"": "", "bicubic": " of bicubic interpolation", "rrdbnet": " of RRDBNet (Real-ESRGAN)"}


def _rows(dataset: str, scales: Sequence[int]) -> tuple[tuple[str, str], ...]:
    return tuple(
        row
        for scale in scales
        for method in METHODS
        for row in zip(row_names(dataset, scale, method), UNITS, strict=True)
    )


def _titles() -> dict[str, Row]:
    found = {}
    for name, chosen in SETS.items():
        for scale in SCALES:
            for method in METHODS:
                psnr, ssim = row_names(name, scale, method)
                what = f"{chosen.title} x{scale} %s{WHOSE[method]}"
                found[psnr] = Row(what % "PSNR", "quality", UNITS[0], better="higher", least=0)
                found[ssim] = Row(what % "SSIM", "quality", UNITS[1], better="higher", least=-1, most=1)
    return found


ROWS = _titles()

DATASETS = {
    name: DataSet(
        name,
        chosen.title,
        _rows(name, SCALES),
        "its folder: the large pictures, or HR and LR_bicubic/X4 side by side",
        has_package=bool(chosen.sha256),
        source=chosen.source,
    )
    for name, chosen in SETS.items()
}

QUANTITIES = {
    row: Quantity(
        ROWS[row].title,
        "quality",
        ROWS[row].unit,
        (Answer(row),),
        "higher",
        needs=f"needs trained weights and the pictures: --metrics accuracy --dataset {name} --data FOLDER",
    )
    for name in SETS
    for scale in SCALES
    for row in row_names(name, scale)
}


class SuperResolution(Task):
    """Pictures (3, H, W) with values from 0 to 1 to (3, scale H, scale W); the sets of
    :mod:`claimbench.bench.tasks.super_resolution.catalogue`.
    """

    name = "super-resolution"
    title = "Image super-resolution"
    datasets = DATASETS
    default = "skimage"
    rows = ROWS
    quantities = QUANTITIES

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows of one set at the scale of the model."""
        scale = (config or {}).get("upscale", SCALES[-1])
        return _rows(dataset if dataset in SETS else self.default, (scale,))

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Tensor:
        """Return pictures of noise with values from 0 to 1."""
        import torch

        return torch.rand(batch, *shape, generator=generator)

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores of :mod:`claimbench.bench.tasks.super_resolution.evaluate`."""
        from claimbench.bench.measure.scoring.evidence import is_trained
        from claimbench.bench.tasks.super_resolution.evaluate import measure

        return measure(subject, job, is_trained(job))

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Check the pictures of each set, every one of them, at the scales that the jobs are about."""
        from claimbench.bench.tasks.super_resolution.check import check

        return check(jobs, listener)


TASK = SuperResolution()
