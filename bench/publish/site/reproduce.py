"""The command that measures a row again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from claimbench.bench import measure, tasks
from claimbench.bench.core import quantities
from claimbench.bench.papers.spec import Paper
from claimbench.bench.report import metrics
from claimbench.bench.report.rows import Row

_METRICS = {name: "accuracy" for task in tasks.known().values() for name in task.rows} | {
    name: metric for metric, rows in measure.ROWS.items() for name, _ in rows
}
"""The value of ``bench run --metrics`` that measures a row."""


def command(paper: Paper, row: Row) -> str:
    """Return a ``bench run`` that measures a row of a paper; empty if none does."""
    name = _measured_name(row)
    metric = _METRICS.get(name) or _METRICS.get(name.removesuffix(quantities.TRAINING), "")
    subject = _subject(paper, row)
    if not metric or not subject:
        return ""
    words = ["bench", "run", "--paper", paper.id, *subject, "--metrics", metric]
    if row.form:
        words += ["--form", row.form]
    if row.figure is not None:
        words += _settings(row, metric)
    elif metric == "accuracy":
        words += ["--weights", "official", *_data("", name)]
    return shlex.join(map(str, words))


def kernel_command(row: Mapping[str, Any]) -> str:
    """Return the ``bench kernels bench`` that times an operator's row again."""
    words = ["bench", "kernels", "bench", "--operator", row.get("operator"), "--dtype", row.get("dtype")]
    words += ["--device", row["device"]] if row.get("device") else []
    words += ["--threads", row["threads"]] if row.get("threads") else []
    return shlex.join(map(str, words))


def _measured_name(row: Row) -> str:
    if row.figure is not None:
        return row.figure.row
    answers = metrics.quantity(row.metric).answers
    return answers[0].row if answers else row.metric


def _subject(paper: Paper, row: Row) -> list[str]:
    """Return the options that name the subject of a row; none if ``bench run`` cannot build it."""
    measured = row.figure.subject if row.figure is not None else row.subject
    timm = {baseline.model: baseline.timm for baseline in paper.baselines if baseline.timm}
    if measured.startswith("timm:"):
        return ["--baseline", measured.removeprefix("timm:")]
    if row.subject in timm:
        return ["--baseline", str(timm[row.subject])]
    return ["--variant", measured] if any(measured == variant.name for variant in paper.variants) else []


def _settings(row: Row, metric: str) -> list[str]:
    """Return the settings of a measured row, as far as they matter for its metric."""
    figure = row.figure
    assert figure is not None
    settings = figure.settings
    words: list[str] = ["--form", figure.form] if figure.form and not row.form else []
    words += ["--input-size", "x".join(map(str, settings.input_size))] if settings.input_size else []
    if metric in ("params", "flops", "parity"):
        return words
    words += ["--device", settings.device, "--precision", settings.precision, "--mode", settings.mode]
    words += ["--batch", str(figure.batch)] if figure.batch else []
    words += ["--channels-last"] if settings.channels_last else []
    words += ["--threads", str(settings.threads)] if settings.threads else []
    words += ["--training"] if settings.training else []
    words += ["--quick"] if settings.quick else []
    if metric == "accuracy":
        if settings.weights != "random" or figure.value is None:  # a model that scoring trains needs none
            words += ["--weights", "official" if settings.weights == "random" else settings.weights]
        words += _data(figure.options.dataset, figure.row)
    return words


def _data(dataset: str, row: str) -> list[str]:
    """Return the options that name the data of a score: a data set, and a placeholder for the user's folder of it."""
    for task in tasks.known().values():
        own = task.datasets.get(dataset) or next((d for d in task.datasets.values() if row in task.rows_on(d)), None)
        if own is not None and row in task.rows:
            named = [] if own.name == task.default else ["--dataset", own.name]
            return named if own.has_package else [*named, "--data", "FOLDER"]
    return ["--data", "FOLDER"]
