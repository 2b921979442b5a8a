"""Sides of a comparison that tests make up: machines of every mood, with noise drawn or recorded."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np

from claimbench.bench.core.records import Settings
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.watch.regress.noise import RoundPair
from claimbench.bench.watch.regress.sides import RecordSet
from tests.bench.record_examples import record

SLOWER = log(1.05)

ENVIRONMENT = {
    "device": "cpu-test",
    "cpu": {"model": "Test", "usable_cores": 2},
    "libraries": {"torch": "2.8.0"},
    "gpu": None,
}


def pairs(baseline, candidate):
    """Pairs from two arrays of log times, configurations x rounds."""
    return [
        RoundPair(
            {("a", number): float(value) for number, value in enumerate(first)},
            {("b", number): float(value) for number, value in enumerate(second)},
        )
        for first, second in zip(baseline, candidate, strict=True)
    ]


def stored(made, device="cpu-test"):
    """A record as a store gives it."""
    return StoredRecord(**vars(made), device=device, key=made.job.key())


def times(name, medians, *, run="20260102T030405Z-aaaaaa", commit="a" * 40, row="latency", paper="demo", **changes):
    """The records of one configuration, a round for each median in seconds."""
    unit = "s" if row == "latency" else "img/s"
    settings = changes.pop("settings", Settings(batch=1))
    samples = changes.pop("samples", 0)
    found = []
    for number, value in enumerate(medians):
        figure = value if row == "latency" else 1 / value
        taken = tuple(value * (1 + 0.001 * (n % 3 - 1)) for n in range(samples))
        made = record(
            row, figure, paper=paper, subject=name, unit=unit, run=run, round=number, settings=settings, samples=taken,
            environment=changes.get("environment", "e1"), detail=changes.get("detail", {}),
        )  # fmt: skip
        found.append(stored(replace(made, commit=commit), changes.get("device", "cpu-test")))
    return found


def exact(row, value, *, commit="a" * 40, run="20260102T030405Z-aaaaaa", **changes):
    """One record of anything that has no rounds."""
    device = changes.pop("device", "cpu-test")
    return stored(replace(record(row, value, run=run, **{"environment": "e1", **changes}), commit=commit), device)


def source(records, name="side", environments=None):
    """Records as a side of a comparison."""
    known = {"e1": ENVIRONMENT} if environments is None else environments
    return RecordSet(name, list(records), lambda found: found.measurement.samples, lambda digest: known.get(digest, {}))


def many(medians, **changes):
    """The records of many configurations from an array of log times, configurations x rounds."""
    return [
        made
        for number, rounds in enumerate(medians)
        for made in times(f"model_{number}", [exp(value) for value in rounds], **changes)
    ]


def simulated(kind, chance, configurations, rounds, deviation):
    """Log medians of two equal sides: configurations x 2 x rounds."""
    shape = (configurations, 2, rounds)
    noise = chance.normal(0, deviation, shape)
    order = np.arange(2 * rounds).reshape(1, 2, rounds)
    if kind == "normal":
        return noise
    if kind == "heavy tails":  # Student's t with three degrees of freedom
        return chance.standard_t(3, shape) * deviation / np.sqrt(3)
    if kind == "uneven":  # some configurations are many times as noisy as others
        return noise * np.exp(chance.normal(0, 0.7, (configurations, 1, 1)))
    if kind == "outliers":
        return noise + (chance.random(shape) < 0.15) * chance.exponential(0.12, shape)
    if kind == "bimodal":  # each process lands on one of two clocks
        return noise + (chance.random(shape) < 0.5) * 0.08
    if kind == "drift":  # the machine warms up from the first round of the baseline to the last of the candidate
        return noise + order * 0.01
    if kind == "wandering":  # each round begins where the last one ended
        return noise + np.cumsum(chance.normal(0, 0.01, (1, 2 * rounds)), axis=1).reshape(1, 2, rounds)
    if kind == "autocorrelated":  # every configuration's own noise depends on its last
        steps = chance.normal(0, deviation, (configurations, 2 * rounds))
        for number in range(1, 2 * rounds):
            steps[:, number] += 0.3 * steps[:, number - 1]
        return steps.reshape(shape) * np.sqrt(0.91)
    raise ValueError(kind)
