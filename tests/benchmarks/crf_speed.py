"""Seconds for the fully connected CRF on a picture, beside pydensecrf where it is installed.

Run ``python tests/benchmarks/crf_speed.py [picture]`` from the root of a checkout; ``pip install pydensecrf2`` for the
comparison. Both take turns on the same picture (a photograph, shrunk), unaries of 21 classes and the same parameters,
for 10 iterations with one thread, lattices included. A time is the median of five, in seconds of processor time, which
other processes disturb least; a ratio is the median over the five turns, with the smallest and the largest.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from PIL import Image

from claimbench.reproductions.deeplab.crf import PAPER, dense_crf

CLASSES = 21
SIZES = ((125, 94), (250, 188), (500, 375), (1000, 750))
REPEATS = 5


def unaries(width: int, height: int) -> np.ndarray:
    """Return ``-log`` of probabilities that change slowly over the picture, as upsampled scores do."""
    coarse = torch.randn(1, CLASSES, height // 8 + 2, width // 8 + 2, generator=torch.Generator().manual_seed(0))
    scores = torch.nn.functional.interpolate(3 * coarse, size=(height, width), mode="bilinear")[0]
    return -scores.log_softmax(0).contiguous().numpy()


def ours(unary: np.ndarray, picture: np.ndarray, bridge: bool) -> np.ndarray:
    with torch.no_grad():
        found = dense_crf(torch.from_numpy(unary), torch.from_numpy(picture).permute(2, 0, 1), bridge=bridge)
    return found.argmax(0).numpy()


def pydensecrf(unary: np.ndarray, picture: np.ndarray) -> np.ndarray:
    from pydensecrf import densecrf

    height, width, _ = picture.shape
    crf = densecrf.DenseCRF2D(width, height, CLASSES)
    crf.setUnaryEnergy(unary.reshape(CLASSES, -1))
    after = densecrf.NormalizationType.NORMALIZE_AFTER
    crf.addPairwiseGaussian(PAPER.spatial_width, PAPER.spatial_weight, normalization=after)
    widths = {"sxy": PAPER.position_width, "srgb": PAPER.colour_width}
    crf.addPairwiseBilateral(**widths, rgbim=picture, compat=PAPER.bilateral_weight, normalization=after)
    return np.array(crf.inference(PAPER.iterations)).argmax(0).reshape(height, width)


def turns(calls: dict[str, Callable[[], np.ndarray]]) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Return the times of each call, which take turns, and what each gave last."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    found = {}
    for _ in range(REPEATS):
        for name, call in calls.items():
            start = time.process_time()
            found[name] = call()
            times[name].append(time.process_time() - start)
    return times, found


def speed(times: list[float], other: list[float]) -> str:
    """Return how many times as fast as the other one is, turn by turn."""
    ratios = sorted(b / a for a, b in zip(times, other, strict=True))
    return f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        source = Image.open(sys.argv[1]).convert("RGB")
    else:
        from skimage import data

        source = Image.fromarray(data.coffee())
    for width, height in SIZES:
        picture = np.array(source.resize((width, height), Image.Resampling.BICUBIC))
        unary = unaries(width, height)
        calls: dict[str, Callable[[], np.ndarray]] = {
            name: lambda u=unary, p=picture, b=bridge: ours(u, p, b)
            for name, bridge in (("ours", True), ("ours without bridges", False))
        }
        if find_spec("pydensecrf"):
            calls["pydensecrf"] = lambda u=unary, p=picture: pydensecrf(u, p)
        times, labels = turns(calls)
        for name, of in times.items():
            same = (labels[name] == labels["ours"]).mean()
            ratio = f", {speed(of, times['pydensecrf'])} pydensecrf's speed" if "pydensecrf" in times else ""
            took = f"{width}x{height}  {statistics.median(of):7.3f} s  {name}{ratio}"
            print(f"{took}, {100 * same:.1f} % of labels as ours", flush=True)


if __name__ == "__main__":
    main()
