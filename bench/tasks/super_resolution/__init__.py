"""Image super-resolution: a small picture in, one some times larger out, judged by PSNR and SSIM of the luma."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.super_resolution.catalogue import DATASETS, DEFAULT, METHODS, SCALES, UNITS, row_names

if TYPE_CHECKING:
    from torch import Generator, Tensor

_NEEDS = "needs trained weights and the pictures: --metrics accuracy --dataset {dataset} --data FOLDER"


def _scores() -> Iterator[Score]:
    """Yield PSNR and SSIM at each scale; papers report those of their own model."""
    for scale in SCALES:
        for method, whose in METHODS.items():
            reported = () if method else None
            psnr, ssim = row_names("{dataset}", scale, method)
            title = f"{{dataset}} x{scale} %s{whose}"
            yield Score(psnr, title % "PSNR", UNITS[0], least=0, reported=reported, needs=_NEEDS)
            yield Score(ssim, title % "SSIM", UNITS[1], least=-1, most=1, reported=reported, needs=_NEEDS)


class SuperResolution(Task):
    """Pictures (3, H, W) with values from 0 to 1 to (3, scale H, scale W)."""

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows of one set at the scale of the model."""
        scale = (config or {}).get("upscale", SCALES[-1])
        return tuple(row for row in super().expected(dataset) if row[0].endswith(f"_x{scale}"))

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Tensor:
        """Return pictures of noise with values from 0 to 1."""
        import torch

        return torch.rand(batch, *shape, generator=generator)


TASK = SuperResolution(
    name="super-resolution",
    title="Image super-resolution",
    datasets=DATASETS,
    default=DEFAULT,
    scores=tuple(_scores()),
    shares=True,
)
