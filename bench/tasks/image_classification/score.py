"""From ranked classes to scores: top-1 and top-5, of each class, and ImageNet-C's mean corruption error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from claimbench.bench.core.records import Measurement
from claimbench.bench.core.statistics import wilson
from claimbench.bench.data.pictures.labelled import CORRUPTIONS, SEVERITIES, PictureSet
from claimbench.bench.store.evidence.of_scores import (
    ClassHits,
    CorruptionAccuracyEvidence,
    CorruptionErrorEvidence,
    HitsEvidence,
    LabelledEvidence,
    PictureEvidence,
)


def hits(ranked: np.ndarray, labels: Sequence[tuple[int, ...]], top: int) -> np.ndarray:
    """Return for each picture whether one of its right answers is among the ``top`` classes, (N,)."""
    if all(len(label) == 1 for label in labels):
        return np.asarray((ranked[:, :top] == np.asarray(labels, dtype=np.int64).reshape(-1, 1)).any(axis=1))
    return np.array(
        [bool(set(label) & set(best)) for label, best in zip(labels, ranked[:, :top].tolist(), strict=True)]
    )


def score(metric: str, unit: str, method: str, evidence: HitsEvidence) -> Measurement:
    """Return a score in per cent with its Wilson interval."""
    count, correct = evidence.images, evidence.correct
    low, high = wilson(correct, count)
    return Measurement(
        metric=metric,
        value=100 * correct / count,
        unit=unit,
        method=f"{method}, Wilson interval",
        low=100 * low,
        high=100 * high,
        detail=evidence.to_detail(),
    )


def per_class(right: np.ndarray, labels: Sequence[tuple[int, ...]], classes: int) -> ClassHits:
    """Return the number of pictures of each class, and of the right ones; of several labels the first counts."""
    first = np.array([label[0] for label in labels], dtype=np.int64)
    images = np.bincount(first, minlength=classes)
    correct = np.bincount(first[right], minlength=classes)
    return ClassHits(images=images.tolist(), correct=correct.tolist())


def corruption_rows(
    dataset: PictureSet,
    ranked: np.ndarray,
    names: Sequence[str],
    labels: Sequence[tuple[int, ...]],
    shared: PictureEvidence,
    whole: LabelledEvidence,
) -> list[Measurement]:
    """Return ImageNet-C's rows: the mean corruption error, and the mean accuracy over corruptions and severities.

    A corruption's error is the mean over its severities, divided by AlexNet's; the mean is over corruptions
    (Hendrycks & Dietterich 2019, section 4.1). Both are known only when every corruption and severity was seen.
    """
    right = hits(ranked, labels, 1)
    seen: dict[tuple[str, str], list[int]] = {}
    for number, name in enumerate(names):
        corruption, severity, _ = name.split("/", 2)
        seen.setdefault((corruption, severity), []).append(number)
    accuracy = {key: float(right[numbers].mean()) for key, numbers in seen.items()}
    errors = {
        corruption: float(np.mean([1 - accuracy[corruption, severity] for severity in SEVERITIES]))
        for corruption in CORRUPTIONS
        if all((corruption, severity) in accuracy for severity in SEVERITIES)
    }
    evidence = CorruptionAccuracyEvidence(
        **shared.to_detail(),
        **whole.to_detail(),
        correct=int(right.sum()),
        accuracy={"/".join(key): 100 * value for key, value in accuracy.items()},
    )
    mean = Measurement(
        "imagenet_c_top1",
        100 * float(np.mean(list(accuracy.values()))),
        "%",
        f"mean over {len(accuracy)} pairs of corruption and severity",
        detail=evidence.to_detail(),
    )
    absent = [corruption for corruption in CORRUPTIONS if corruption not in errors]
    if absent:
        reason = f"needs {len(SEVERITIES)} severities of {len(CORRUPTIONS)} corruptions, and {absent[0]} is not whole"
        return [Measurement.missing("imagenet_c_mce", "%", reason), mean]
    relative = {corruption: 100 * error / CORRUPTIONS[corruption] for corruption, error in errors.items()}
    errors_of = CorruptionErrorEvidence(images=shared.images, classes=shared.classes, corruption_errors=relative)
    mce = Measurement(
        "imagenet_c_mce",
        float(np.mean(list(relative.values()))),
        "%",
        "mean over 15 corruptions of the error relative to AlexNet's",
        detail=errors_of.to_detail(),
    )
    return [mce, mean]
