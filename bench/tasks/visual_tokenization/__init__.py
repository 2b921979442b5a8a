"""Visual tokenization: pictures, clips or voxels in, the same back from tokens, judged by likeness and bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.quantities import Quantity
from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.visual_tokenization.catalogue import DATASETS, DEFAULT, FEATURES, SEEN

if TYPE_CHECKING:
    from torch import Generator, Tensor

SCORES = (
    Score("{dataset}_reconstruction_psnr", "{dataset} PSNR", "dB", least=0, reported=("{dataset}_psnr",)),
    Score(
        "{dataset}_reconstruction_ssim",
        "{dataset} SSIM",
        least=-1,
        most=1,
        reported=("{dataset}_ssim",),
        datasets=SEEN,
    ),
    Score(
        "{dataset}_reconstruction_frechet",
        f"{{dataset}} Fréchet distance of {FEATURES}",
        better="lower",
        least=0,
        reported=(),
        datasets=SEEN,
    ),
    Score("{dataset}_token_bits", "{dataset} bits a pixel or voxel", "bit", "", least=0, reported=()),
    Score("{dataset}_token_use", "{dataset} used entries of the codebook", "%", "", least=0, most=100, reported=()),
)

_INCEPTION = "needs Inception's weights, which this suite does not hold; the Fréchet distance here has other features"
_VIDEO = "needs the weights of a video network (I3D), which this suite does not hold"
_PERCEPTUAL = "needs the weights of LPIPS, which this suite does not hold"
_TEXT = "needs the official weights and the text encoder of SigLIP 2, neither of which is here"
_RENDERED = "needs a CUDA rasteriser of Gaussians (mip-splatting) and Toys4k"


def _reported() -> dict[str, Quantity]:
    """Return the metrics that papers report and that nothing here measures."""
    lower = {
        "imagenet_rfid": ("ImageNet rFID", _INCEPTION),
        "coco_rfid": ("COCO rFID", _INCEPTION),
        "davis_rfvd": ("DAVIS rFVD", _VIDEO),
        "tokenbench_rfvd": ("TokenBench rFVD", _VIDEO),
        "imagenet_lpips": ("ImageNet LPIPS", _PERCEPTUAL),
        "davis_lpips": ("DAVIS LPIPS", _PERCEPTUAL),
        "tokenbench_lpips": ("TokenBench LPIPS", _PERCEPTUAL),
        "toys4k_lpips": ("Toys4k LPIPS of rendered views", _RENDERED),
    }
    higher = {
        "toys4k_psnr": ("Toys4k PSNR of rendered views", "dB", _RENDERED),
        "toys4k_ssim": ("Toys4k SSIM of rendered views", "", _RENDERED),
        "toys4k_zero_shot": ("Toys4k zero-shot top-1", "%", _TEXT),
        "imagenet1k_zero_shot_top1": ("ImageNet-1K zero-shot top-1", "%", _TEXT),
        "imagenet_v2_zero_shot_top1": ("ImageNet-V2 zero-shot top-1", "%", _TEXT),
        "coco_t2i_r1": ("COCO text to image R@1", "%", _TEXT),
        "flickr_t2i_r1": ("Flickr30k text to image R@1", "%", _TEXT),
        "msrvtt_r1": ("MSR-VTT R@1", "%", _TEXT),
        "msrvtt_t2v_r1": ("MSR-VTT text to video R@1", "%", _TEXT),
        "msrvtt_t2v_r5": ("MSR-VTT text to video R@5", "%", _TEXT),
        "msrvtt_t2v_r10": ("MSR-VTT text to video R@10", "%", _TEXT),
        "msvd_t2v_r1": ("MSVD text to video R@1", "%", _TEXT),
    }
    found = {
        name: Quantity(title, "quality", "", better="lower", needs=needs) for name, (title, needs) in lower.items()
    }
    return found | {
        name: Quantity(title, "quality", unit, better="higher", needs=needs)
        for name, (title, unit, needs) in higher.items()
    }


class VisualTokenization(Task):
    """Pictures (3, H, W) or clips (T, 3, H, W) with values from -1 to 1 to the same, cut to whole patches."""

    def size(self, shape: tuple[int, ...]) -> str:
        """Return the size of a picture, or the frames and size of a clip; nothing for a shape without sides."""
        if len(shape) < 2:
            return ""
        frames = f"{shape[0]} frames of " if len(shape) == 4 else ""
        return f"{frames}{shape[-2]}x{shape[-1]} px"

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows of one set; the use of the codebook is one if the model is known to have a codebook."""
        rows = super().expected(dataset)
        discrete = bool((config or {}).get("use_quantizer"))
        return rows if discrete else tuple(row for row in rows if not row[0].endswith("_token_use"))

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Tensor:
        """Return pictures or clips of noise with values from -1 to 1."""
        import torch

        return 2 * torch.rand(batch, *shape, generator=generator) - 1


TASK = VisualTokenization(
    name="visual-tokenization",
    title="Visual tokenization",
    datasets=DATASETS,
    default=DEFAULT,
    scores=SCORES,
    not_measured=_reported(),
    cpu_batch=1,
    shares=True,
)
