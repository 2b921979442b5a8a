"""The scores of a medical segmenter: overlap and surface distance of each structure, over subjects or slabs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Score, Subject
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import look, spread
from claimbench.bench.store.evidence.of_scores import DataEvidence, StructureEvidence
from claimbench.bench.tasks.medical_segmentation import TASK
from claimbench.bench.tasks.medical_segmentation.catalogue import DATASETS, DEFAULT, Volumes, slug
from claimbench.bench.tasks.medical_segmentation.cuts import dice_of_cuts
from claimbench.bench.tasks.medical_segmentation.data import MedicalScan, digest, find
from claimbench.bench.tasks.medical_segmentation.score import MEASURES, RULE, MeanAndSpread, StructureScores, measured
from claimbench.bench.tasks.medical_segmentation.windows import (
    NORMALISATIONS,
    WINDOWS,
    labelled,
    normalisation_of,
    normalised,
)
from claimbench.bench.tasks.subject import load_subject

QUICK_SCANS = 4
CUTS = "{dataset}_cuts_dsc"


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Evaluate a model on a data set; quick runs take 4 scans of it.

    Options of the job: ``dataset``, ``data`` (its folder), ``limit``, ``input`` (whose ``mean`` names the
    normalisation), and ``predictions``, the common name of the files that keep the measures of each scan.

    Raises:
        UnavailableError: there is no data set, the weights are random, or the model gives no score for each voxel.
        UserError: the data are not as expected, or not for this model.
    """
    dataset = dataset_of(job)
    if job.options.data is None:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs trained weights: random ones score at chance")
    if subject.mode == "cudagraph":
        raise UnavailableError("accuracy is measured in eager or compile mode only")
    classes, normalisation = _classes(subject), normalisation_of(job.options.input)
    _check_fit(subject, dataset, classes)
    scans = find(dataset, job.options.data)
    limit = job.options.limit or (QUICK_SCANS if job.settings.quick else None)
    chosen = tuple(scans[index] for index in spread(len(scans), limit))
    evidence = StructureEvidence(
        dataset=dataset.name,
        images=len(chosen),
        classes=classes,
        pictures_sha256=digest(chosen),
        partial=len(chosen) < len(scans),
        unit=dataset.unit,
    )
    protocol = {"normalisation": NORMALISATIONS[normalisation], "windows": WINDOWS, "rule": RULE}
    told = {**evidence.to_detail(), **protocol, "of": f"{dataset.unit}s"}
    see = _looker(subject, classes, normalisation)
    groups = ({scan.name: scan} for scan in chosen)
    seen, kept = look(subject, job, told, groups, lambda groups: map(see, groups))
    scores = StructureScores(seen)
    names = dataset.names(classes)
    evidence = evidence.model_copy(update={"absent": scores.absent, "missed": scores.missed})
    whole = evidence.model_copy(
        update={
            "protocol": protocol | ({"source": dataset.source} if dataset.source else {}),
            "per_structure": {
                name: {each: scores.of_structure(place, each).mean for each in MEASURES}
                for place, name in enumerate(names)
            },
            "per_scan": {
                scan.name: dict(zip(names, found, strict=True)) for scan, found in zip(chosen, seen, strict=True)
            },
            **weights_of(job),
            **kept,
        }
    )
    of = f"{len(chosen)} {dataset.unit}{'s' if len(chosen) > 1 else ''}" + (f", {dataset.part}" if dataset.part else "")
    rows = [
        _row(dataset, score, scores, names, of, evidence if i else whole)
        for i, score in enumerate(TASK.scores)
        if not (score.datasets and dataset.name not in score.datasets) and score.name != CUTS
    ]
    return [*rows, _cuts(dataset, job.options.data)] if dataset.cuts else rows


def _cuts(dataset: Volumes, data: str) -> Measurement:
    """Return the Dice of two cuts of the intensity."""
    name, value = dataset.fill(CUTS), dice_of_cuts(dataset.name, data)
    if value is None:
        return Measurement.missing(name, "%", "no structure lies in the test slabs")
    detail = DataEvidence(dataset=dataset.name).to_detail()
    return Measurement(name, value, "%", f"cuts chosen on the training slabs; {dataset.part}", detail=detail)


def dataset_of(job: Job) -> Volumes:
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
        UnavailableError: this machine cannot build it, or it gives no score for each class and voxel.
        UserError: the model or a setting is wrong; one sentence.
    """
    settings = replace(job.settings, device="cpu", precision="fp32", mode="eager", weights="random")
    return _classes(load_subject(replace(job, settings=settings, options=replace(job.options, weights_file=""))))


def _check_fit(subject: Subject, dataset: Volumes, classes: int) -> None:
    """Check that a model tells the structures of a data set apart, and takes its channels.

    Raises:
        UserError: it does not.
    """
    wanted = 1 + len(dataset.structures)
    if dataset.structures and classes != wanted:
        raise UserError(f"{dataset.title} has {wanted} classes with the background and the model {classes}")
    channels = subject.sample_shape[0]
    if dataset.channels not in (1, channels):
        raise UserError(f"{dataset.title} has {dataset.channels} channels and the model takes {channels}")


def _looker(subject: Subject, classes: int, normalisation: str) -> Callable[[Sequence[MedicalScan]], Iterator[Any]]:
    """Return a function that yields the measures of the structures of scans."""
    forward = subject.forward()
    channels, *window = subject.sample_shape

    def scores(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return _scores(forward(subject.place(x)), x)

    def see(scans: Sequence[MedicalScan]) -> Iterator[Any]:
        for scan in scans:
            found = scan.read(classes)
            whole = found.values if found.whole is None else found.whole
            values = normalised(found.values, whole, normalisation)
            prediction = labelled(scores, values.expand(channels, -1, -1, -1), window)
            yield measured(prediction, found.labels, classes - 1, found.spacing)

    return see


def _scores(output: Any, x: Tensor) -> Tensor:
    """Return the scores (B, classes, ...) among a model's outputs for ``x``: the first.

    One score for each voxel is the logit of a structure against the background, whose score is then zero.

    Raises:
        UnavailableError: there is no score for each voxel.
    """
    scores = output[0] if isinstance(output, tuple | list) else output
    if not isinstance(scores, Tensor) or scores.shape[2:] != x.shape[2:] or len(scores) != len(x):
        raise UnavailableError("this model gives no score for each class and voxel")
    return torch.cat((torch.zeros_like(scores), scores), dim=1) if scores.shape[1] == 1 else scores


def _classes(subject: Subject) -> int:
    x = torch.zeros(1, *subject.sample_shape)
    with torch.inference_mode():
        return int(_scores(subject.model(subject.place(x)), x).shape[1])


def _row(
    dataset: Volumes, score: Score, scores: StructureScores, names: Sequence[str], of: str, evidence: StructureEvidence
) -> Measurement:
    """Return one score: of all structures together, or of the one that its name ends with."""
    name = dataset.fill(score.name)
    measure = score.name.removeprefix("{dataset}_").removesuffix("_std")
    structure = next((place for place, each in enumerate(names) if measure == f"dsc_{slug(each)}"), None)
    found = scores.over_structures(measure) if structure is None else scores.of_structure(structure, "dsc")
    value, reason = found.mean, f"no {dataset.unit} has such a value: {RULE.partition('.')[0].lower()}"
    if score.name.endswith("_std"):
        value, reason = found.deviation, f"a spread needs two {dataset.unit}s with a value"
    if value is None:
        return Measurement.missing(name, score.unit, reason)
    samples = () if score.name.endswith("_std") else found.values
    detail = evidence.model_copy(update={"spread": _deviation(found, score)}).to_detail()
    return Measurement(name, value, score.unit, of, samples=samples, detail=detail)


def _deviation(found: MeanAndSpread, score: Score) -> float | None:
    return None if score.name.endswith("_std") else found.deviation
