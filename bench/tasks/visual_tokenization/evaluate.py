"""Scoring a tokenizer: likeness of its reconstructions, bits of its latents, and use of its codebook.

A model of this task has ``coded(x)`` for pictures (B, 3, H, W) or clips (B, T, 3, H, W) with values from -1 to 1, and
``coded_voxels(features, places)`` for voxels: (L, F) from -1 to 1 and (L, 4) integers, sample, x, y, z. Both return the
``reconstruction``, the ``bits`` of each sample (B,), and its ``indices`` (L, codebooks), or None if its latents are
continuous; ``codebook`` is the number of entries of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from math import inf, isfinite
from operator import add
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.scoring.evidence import is_trained, weights_of
from claimbench.bench.measure.scoring.look import look
from claimbench.bench.store.evidence.of_scores import TokenizationEvidence
from claimbench.bench.tasks.visual_tokenization.catalogue import DATASETS, FEATURES, VisualSet
from claimbench.bench.tasks.visual_tokenization.data import Example, find, frames, voxels
from claimbench.bench.tasks.visual_tokenization.score import Moments, blocks, frechet, perplexity, psnr, ssim

PROTOCOL = "8-bit RGB of whole patches, mean over examples"
RATES = ("nominal: log2 of the codebook for each index", "KL divergence of the posterior from the prior")


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Return the scores of a tokenizer on one set.

    Raises:
        UnavailableError: the set or the weights are not at hand, or the model is no tokenizer.
        UserError: an example is not as expected.
    """
    dataset = DATASETS[job.options.dataset]
    if not job.options.data:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    if not is_trained(job):
        raise UnavailableError("needs trained weights: random ones reconstruct nothing")
    if not hasattr(subject.model, "coded_voxels" if dataset.kind == "voxels" else "coded"):
        raise UnavailableError(f"{subject.label} does not give back {dataset.kind}: it is no tokenizer for them")
    found = find(dataset, job.options.data)
    files = {"dataset": dataset.name, "examples": [[each.name, each.digest()] for each in found], "of": dataset.kind}
    groups = ({each.name: each} for each in found)
    seen, kept = look(subject, job, files, groups, lambda groups: (_see(subject, dataset, group) for group in groups))
    told = {"dataset": dataset.name, "examples": len(found), "protocol": PROTOCOL, **weights_of(job), **kept}
    evidence = TokenizationEvidence.model_validate(told)
    return list(_rows(dataset, found, seen, evidence))


def _see(subject: Subject, dataset: VisualSet, group: Sequence[Example]) -> Iterator[dict[str, Any]]:
    """Yield the findings about each example, JSON-ready; nothing stands for an infinite PSNR."""
    for example in group:
        try:
            with torch.inference_mode():
                found = _voxels(subject, example) if dataset.kind == "voxels" else _frames(subject, dataset, example)
        except ValueError as error:
            raise UserError(f"{example.files[0]}: {error}") from error
        yield found


def _voxels(subject: Subject, example: Example) -> dict[str, Any]:
    coords, features = voxels(example)
    places = torch.from_numpy(np.pad(coords, ((0, 0), (1, 0))))
    x = subject.place(torch.from_numpy(2 * features - 1))
    coded = subject.model.coded_voxels(x, places)  # type: ignore[operator]
    back = coded.reconstruction.float().cpu().numpy()[:, : features.shape[1]] / 2 + 0.5
    return {"psnr": _finite(psnr(back.clip(0, 1), features, 1.0)), **_rate(coded, len(coords))}


def _frames(subject: Subject, dataset: VisualSet, example: Example) -> dict[str, Any]:
    truth = frames(dataset, example)
    x = torch.from_numpy(truth).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    x = subject.place(x.unsqueeze(0) if dataset.kind == "clips" else x)
    coded = subject.model.coded(x)  # type: ignore[operator]
    back = coded.reconstruction.reshape(-1, *coded.reconstruction.shape[-3:]).float().cpu()
    found = back.add(1).mul(127.5).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()
    height, width = found.shape[1:3]
    top, left = (truth.shape[1] - height) // 2, (truth.shape[2] - width) // 2
    truth = truth[: len(found), top : top + height, left : left + width]
    likeness = fmean(psnr(a, b) for a, b in zip(found, truth, strict=True))
    values = {"psnr": _finite(likeness), "ssim": ssim(found, truth)}
    moments = {name: _flat(Moments.of(blocks(each))) for name, each in (("found", found), ("truth", truth))}
    return values | moments | _rate(coded, len(found) * height * width)


def _rate(coded: Any, pixels: int) -> dict[str, Any]:
    """Return the bits a pixel, and for each entry of the codebooks that was used how often, by its number."""
    rate: dict[str, Any] = {"bits": float(coded.bits.sum()) / pixels}
    if coded.indices is not None:
        size = coded.codebook
        numbers = coded.indices + size * torch.arange(coded.indices.shape[1], device=coded.indices.device)
        entries, counts = numbers.flatten().unique(return_counts=True)
        rate["codes"] = [entries.tolist(), counts.tolist(), size * coded.indices.shape[1]]
    return rate


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def _flat(moments: Moments) -> list[Any]:
    return [moments.count, moments.sum.tolist(), moments.products[np.triu_indices(len(moments.sum))].tolist()]


def _moments(flat: Sequence[Any]) -> Moments:
    count, total, upper = flat
    products = np.zeros((len(total),) * 2)
    products[np.triu_indices(len(total))] = upper
    return Moments(count, np.array(total), products + np.triu(products, 1).T)


def _rows(
    dataset: VisualSet, found: Sequence[Example], seen: Sequence[Mapping[str, Any]], evidence: TokenizationEvidence
) -> Iterator[Measurement]:
    method = f"{len(found)} {dataset.kind} of {dataset.title}"
    names = [example.name for example in found]
    row, values = dataset.fill("{dataset}_reconstruction_psnr"), [_number(each["psnr"]) for each in seen]
    yield _mean(row, "dB", names, values, method, evidence)
    if dataset.kind != "voxels":
        row = dataset.fill("{dataset}_reconstruction_ssim")
        yield _mean(row, "", names, [each["ssim"] for each in seen], method, evidence)
        both = (reduce(add, (_moments(each[name]) for each in seen)) for name in ("found", "truth"))
        distance, share = frechet(*both)
        told = evidence.model_copy(update={"features": FEATURES, "covariance_share": share})
        row = dataset.fill("{dataset}_reconstruction_frechet")
        yield Measurement(row, distance, "", f"{method}, {FEATURES}", detail=told.to_detail())
    discrete = "codes" in seen[0]
    told = evidence.model_copy(update={"rate": RATES[0] if discrete else RATES[1]})
    row, bits = dataset.fill("{dataset}_token_bits"), [each["bits"] for each in seen]
    yield _mean(row, "bit", names, bits, f"{method}, {told.rate}", told)
    if discrete:
        counts = np.zeros(seen[0]["codes"][2])
        for each in seen:
            counts[each["codes"][0]] += each["codes"][1]
        told = evidence.model_copy(update={"perplexity": perplexity(counts)})
        value = 100 * float((counts > 0).mean())
        yield Measurement(dataset.fill("{dataset}_token_use"), value, "%", method, detail=told.to_detail())


def _number(value: float | None) -> float:
    return inf if value is None else value


def _mean(
    row: str, unit: str, names: Sequence[str], values: list[float], method: str, evidence: TokenizationEvidence
) -> Measurement:
    """Return the mean over the examples; their spread is among the evidence."""
    if exact := [name for name, value in zip(names, values, strict=True) if not isfinite(value)]:
        return Measurement.missing(row, unit, f"{exact[0]} came back without a difference: there is no finite mean")
    spread = {"standard_deviation": stdev(values)} if len(values) > 1 else {}
    detail = evidence.model_copy(update=spread).to_detail()
    return Measurement(row, fmean(values), unit, method, samples=tuple(values), detail=detail)
