"""The scores of a segmentation model: mean intersection over union, everywhere and around boundaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.core.errors import UnavailableError, unknown
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.statistics import RESAMPLES
from claimbench.bench.core.task import Score, Subject
from claimbench.bench.data.pictures.masked import digest
from claimbench.bench.data.pictures.normalisation import normalisation_of
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import spread
from claimbench.bench.papers import registry
from claimbench.bench.store.evidence.of_scores import SegmentationEvidence, WholeEvidence, WholeSegmentationEvidence
from claimbench.bench.tasks.semantic_segmentation import TASK
from claimbench.bench.tasks.semantic_segmentation.catalogue import BAND, DATASETS, DEFAULT, Masks
from claimbench.bench.tasks.semantic_segmentation.data import listed
from claimbench.bench.tasks.semantic_segmentation.labelling import (
    NETWORK,
    REFINED,
    SCALES,
    Labeller,
    Overlaps,
    Refine,
    Segmenter,
    evaluate,
)
from claimbench.bench.tasks.semantic_segmentation.score import Overlap
from claimbench.bench.tasks.semantic_segmentation.sliding import windows_of
from claimbench.bench.tasks.subject import load_subject

QUICK_PICTURES = 50
PROBE_SIDE = 65
NOT_LOOKED = {
    REFINED: "this paper has no stage after the network",
    SCALES: "looks at each picture many times: ask for it with --multi-scale",
}
"""The reason that there are no labels of a kind."""

ONE_SIZE = "no protocol says at which sizes this network would look at a picture: it is looked at once"


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate a model on a data set; quick runs take 50 pictures of it.

    Options of the job: ``dataset``, ``data`` (its folder), ``partial``, ``limit``, ``batch``; ``multi_scale``, whether
    several sizes of each picture are looked at too; ``input`` (the paper's preprocessing); ``predictions``, the common
    name of the files that keep each picture's counts; ``module``, whose ``model.py`` may define
    ``upsample(scores, size)`` (bilinear without) and ``refine(config)``, the stage after the network as
    :data:`claimbench.bench.tasks.semantic_segmentation.labelling.Refine`.

    Raises:
        UnavailableError: there is no data set, the weights are random, or the model cannot be scored as the job says.
        UserError: the data are not as expected, or not for this model.
    """
    dataset = dataset_of(job)
    if not job.options.data:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs trained weights: random ones score at chance")
    if subject.mode == "cudagraph":
        raise UnavailableError("accuracy is measured in eager or compile mode only")
    several = job.options.multi_scale
    network = _labeller(subject, several=several) or _segmenter(subject, job)
    pairs = listed(dataset, job.options.data, network.classes, partial=job.options.partial)
    limit = job.options.limit or (QUICK_PICTURES if job.settings.quick else None)
    chosen = [pairs[index] for index in spread(len(pairs), limit)]
    shared = SegmentationEvidence(
        dataset=dataset.name,
        images=len(chosen),
        classes=network.classes,
        pictures_sha256=digest(chosen),
        partial=bool(dataset.pictures) and len(pairs) != dataset.pictures,
        sample_shape=list(network.tested_shape) if isinstance(network, Labeller) else None,
    )
    whole = WholeEvidence(
        images_in_set=len(pairs),
        preprocessing=network.preprocessing(dataset),
        protocol=dataset.source or None,
        **weights_of(job),
    )
    told = {**shared.to_detail(), **whole.to_detail()}
    found, kept = evaluate(subject, job, network, dataset, chosen, told)
    total = dataset.pictures or len(pairs)
    what = "all pictures" if len(chosen) == total else f"{len(chosen):,} of {total:,} pictures"
    able = isinstance(network, Labeller) and not several
    reasons = NOT_LOOKED if able else {**NOT_LOOKED, SCALES: ONE_SIZE}
    detail = shared.to_detail() | whole.to_detail() | kept
    return [_row(dataset, score, found, reasons, what, shared, detail) for score in TASK.scores]


def dataset_of(job: Job) -> Masks:
    """Return the data set that a job is about.

    Raises:
        UserError: it does not exist.
    """
    name = job.options.dataset or DEFAULT
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    return DATASETS[name]


def classes_of(job: Job) -> int:
    """Return the number of classes that a job's model tells apart, from the model without its weights, on the CPU.

    Raises:
        UnavailableError: this machine cannot build it, or it gives no score for each class and position.
        UserError: the model or a setting is wrong; one sentence.
    """
    settings = replace(job.settings, device="cpu", precision="fp32", mode="eager", weights="random")
    options = replace(job.options, weights_file="")
    subject = load_subject(replace(job, settings=settings, options=options))
    labeller = _labeller(subject)
    return labeller.classes if labeller is not None else _classes(subject)


def _labeller(subject: Subject, *, several: bool = False) -> Labeller | None:
    """Return a model that labels pictures by a ``label`` of its own; None for one that gives scores only."""
    model: Any = subject.model
    if not hasattr(model, "label"):
        return None
    if subject.mode != "eager" or subject.dtype != torch.float32:
        raise UnavailableError("a network around a backbone is scored in fp32 and eager mode only")
    over = getattr(model, "label_over_scales", None) if several else None
    steps = model.preprocessing | ({"multi_scale": model.scales} if over else {})
    return Labeller(model.label, model.classes, over, steps, model.tested_shape)


def _segmenter(subject: Subject, job: Job) -> Segmenter:
    own = import_module(f"{registry.module(job.paper)}.model") if job.paper else None
    refine: Callable[[Any], Refine] | None = getattr(own, "refine", None)
    forward = subject.forward()
    return Segmenter(
        scores=lambda x: _scores(forward(x)),
        upsample=getattr(own, "upsample", _bilinear),
        place=subject.place,
        normalisation=normalisation_of(job.options.input),
        classes=_classes(subject),
        refine=refine(job.options.config) if refine is not None else None,
        windows=windows_of(job.options.input),
    )


def _scores(output: Any) -> Tensor:
    """Return the scores (B, C, h, w) among a model's outputs: the first."""
    scores = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(scores, Tensor) or scores.dim() != 4:
        raise UnavailableError("this model gives no score for each class and position")
    return scores


def _classes(subject: Subject) -> int:
    with torch.inference_mode():
        return int(_scores(subject.model(subject.place(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE)))).shape[1])


def _bilinear(scores: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)


def _row(
    dataset: Masks,
    score: Score,
    ways: Mapping[str, Overlaps],
    reasons: Mapping[str, str],
    what: str,
    shared: SegmentationEvidence,
    whole: Mapping[str, Any],
) -> Measurement:
    """Return one score; those of the whole pictures carry the evidence of each class, and all bands."""
    name = dataset.fill(score.name)
    way = next((way for way in reasons if name.endswith(way)), NETWORK)
    if way not in ways:
        return Measurement.missing(name, "%", reasons[way])
    found = ways[way]
    overlap = found.narrow[BAND] if "trimap" in score.name else found.whole
    if not overlap.counts:
        nothing = "no boundary lies in them" if overlap is not found.whole else "they are void everywhere"
        return Measurement.missing(name, "%", f"no pixel counts in the masks of these pictures: {nothing}")
    if name.endswith("pixel_accuracy"):
        return Measurement(name, 100 * overlap.pixel_accuracy(), "%", what, detail=shared.to_detail())
    evidence = shared
    if overlap is found.whole:
        evidence = WholeSegmentationEvidence(
            **whole,
            interval=f"percentiles of {RESAMPLES} resamplings of the pictures",
            per_class=_per_class(dataset, overlap),
            by_band_px={str(width): 100 * each.mean() for width, each in found.narrow.items()},
        )
    low, high = overlap.interval() or (None, None)
    ends = (None if low is None else 100 * low, None if high is None else 100 * high)
    return Measurement(name, 100 * overlap.mean(), "%", what, low=ends[0], high=ends[1], detail=evidence.to_detail())


def _per_class(dataset: Masks, overlap: Overlap) -> dict[str, float | None]:
    names = dataset.classes or tuple(f"class {i}" for i in range(overlap.classes))
    return {n: None if r is None else 100 * r for n, r in zip(names, overlap.per_class(), strict=True)}
