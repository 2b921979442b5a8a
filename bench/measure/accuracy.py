"""Accuracy: a model with its official weights on the real data set, through the paper's own preprocessing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from bench.errors import UserError
from bench.measure import UnavailableError
from bench.measure.subject import Subject
from bench.measure.weights import digest
from bench.records import Job, Measurement
from bench.statistics import wilson

TOP = 5
QUICK_IMAGES = 1000

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Means and standard deviations that ``paper.yaml`` can name."""


@dataclass(frozen=True)
class Predictions:
    """Labels (N,), the classes ranked highest, best first (N, up to 5), and how many classes the model knows."""

    labels: Tensor
    ranked: Tensor
    classes: int

    def correct(self, top: int) -> int:
        """Return how many labels are among the ``top`` classes."""
        return int((self.ranked[:, :top] == self.labels[:, None]).any(dim=1).sum())


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate on the folder in ``options["data"]`` (one sub-folder a class); quick runs take 1,000 images of it.

    ``options["input"]`` holds the preprocessing (size, crop_pct, interpolation, mean, std) and
    ``options["predictions"]`` names a file for the per-image predictions; without it they are in ``detail``.

    Raises:
        UnavailableError: there is no data set, or the weights are random.
        UserError: the folder is not a data set for this model.
    """
    folder = job.options.get("data")
    if not folder:
        raise UnavailableError("needs the data set: give its folder (one sub-folder a class) with --data")
    if job.settings.weights == "random" and not job.options.get("weights_file"):
        raise UnavailableError("needs official weights: random ones score at chance")
    if subject.mode == "cudagraph":
        raise UnavailableError("accuracy is measured in eager or compile mode only")
    preprocessing = preprocessing_of(subject, job.options.get("input"))
    dataset = open_folder(Path(folder), preprocessing)
    limit = job.options.get("limit") or (QUICK_IMAGES if job.settings.quick else None)
    chosen = spread(len(dataset), limit)
    found = predict(subject, Subset(dataset, chosen), job)
    classes = len(dataset.reader.class_to_idx)
    if classes != found.classes:
        raise UserError(f"{folder} has {classes} classes and the model {found.classes}: the labels would not match")
    files = [dataset.filename(i) for i in chosen]
    detail = {
        "images": len(chosen),
        "images_in_folder": len(dataset),
        "classes": classes,
        "preprocessing": preprocessing,
        **_weights(job),
        **_keep(found, files, job.options.get("predictions")),
    }
    what = "all images" if len(chosen) == len(dataset) else f"{len(chosen)} images spread evenly over the folder"
    return [_row("top1", 1, found, what, detail), _row("top5", TOP, found, what, {"images": len(chosen)})]


def preprocessing_of(subject: Subject, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return timm's transform arguments from ``paper.yaml``'s input, else from timm's own record of the model.

    Raises:
        UserError: a normalisation is named that is not known.
    """
    source = dict(given if given is not None else subject.config or {})
    mean, std = source.get("mean") or "imagenet", source.get("std") or "imagenet"
    for name in (mean, std):
        if isinstance(name, str) and name not in NORMALISATIONS:
            raise UserError(f"unknown normalisation {name!r}: use numbers or one of {', '.join(NORMALISATIONS)}")
    return {
        "input_size": tuple(subject.sample_shape),
        "crop_pct": source.get("crop_pct"),
        "interpolation": source.get("interpolation") or "bicubic",
        "mean": NORMALISATIONS[mean][0] if isinstance(mean, str) else tuple(mean),
        "std": NORMALISATIONS[std][1] if isinstance(std, str) else tuple(std),
    }


def open_folder(folder: Path, preprocessing: dict[str, Any]) -> Any:
    """Return timm's data set of a folder, or of its ``val`` or ``validation`` sub-folder where it has one.

    Raises:
        UserError: there is no such folder, or no images in it.
    """
    from timm.data import create_dataset, create_transform

    if not folder.is_dir():
        raise UserError(f"data folder {folder} does not exist")
    try:
        dataset = create_dataset("", root=str(folder), split="validation")
    except (RuntimeError, FileNotFoundError, AssertionError) as error:
        raise UserError(f"data folder {folder} holds no images in sub-folders, one for each class") from error
    dataset.transform = create_transform(**preprocessing)
    return dataset


def spread(total: int, limit: int | None) -> list[int]:
    """Return ``limit`` indices spread evenly over ``total`` (folders list class by class), all of them without one."""
    if limit is None or limit >= total:
        return list(range(total))
    return [i * total // limit for i in range(limit)]


def predict(subject: Subject, images: Subset[Any], job: Job) -> Predictions:
    """Run the model over the images, in the order of the folder."""
    on_gpu = subject.device.type == "cuda"
    workers = job.options.get("workers", min(8, os.cpu_count() or 1) if on_gpu else 0)
    loader = DataLoader(
        images, batch_size=job.settings.batch or (128 if on_gpu else 16), num_workers=workers, pin_memory=on_gpu
    )
    forward = subject.forward()
    labels, ranked, classes = [], [], 0
    with torch.inference_mode():
        for pictures, targets in loader:
            logits = forward(subject.place(pictures)).float()
            classes = logits.shape[1]
            ranked.append(logits.topk(min(TOP, classes), dim=1).indices.cpu())
            labels.append(targets)
    return Predictions(torch.cat(labels), torch.cat(ranked), classes)


def _row(metric: str, top: int, found: Predictions, what: str, detail: dict[str, Any]) -> Measurement:
    """Return a score in per cent with its Wilson interval."""
    if found.classes < top:
        return Measurement.missing(metric, "%", f"the model has only {found.classes} classes")
    count, correct = len(found.labels), found.correct(top)
    low, high = wilson(correct, count)
    return Measurement(
        metric=metric,
        value=100 * correct / count,
        unit="%",
        method=f"{what}, Wilson interval",
        low=100 * low,
        high=100 * high,
        detail={"correct": correct, **detail},
    )


def _weights(job: Job) -> dict[str, str]:
    """Return which weights were used."""
    path = job.options.get("weights_file")
    return {"weights": Path(path).name, "weights_sha256": digest(path)} if path else {"weights": job.settings.weights}


def _keep(found: Predictions, files: list[str], path: str | None) -> dict[str, Any]:
    """Keep every prediction: in the file asked for, a line an image, else as lists in the order of the folder."""
    labels, ranked = found.labels.tolist(), found.ranked.tolist()
    if path is None:
        return {"labels": labels, "predictions": [best[0] for best in ranked]}
    lines = (
        json.dumps({"file": file, "label": label, "top": best})
        for file, label, best in zip(files, labels, ranked, strict=True)
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"predictions_file": Path(path).name, "predictions_sha256": digest(path)}
