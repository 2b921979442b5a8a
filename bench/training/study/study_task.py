"""One training as its process is given it, and its name among the records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from claimbench.bench.core.records import Job, Measurement, Options, Settings
from claimbench.bench.training.study.setting import Setting

METRIC = "study"
"""The metric of a training's job. Its rows are named below: none of them is a column of another table."""

ROWS = {
    "study_accuracy": "%",
    "study_training_time": "s",
    "study_memory": "B",
    "study_parameters": "params",
    "study_flops": "FLOP",
}
"""The rows of one training, with their units."""


@dataclass(frozen=True)
class StudyTask:
    """One arm with one seed.

    Attributes:
        job: the stored part: paper, subject (the paper's or the baseline's name), form (the arm), round (the
            seed), settings, and the options ``setting`` and ``hidden`` (MLP widths).
        device: that it runs on now.
        folder: of the data; empty for a Python package.
        checkpoint: the file that it goes on from and writes each epoch.
    """

    job: Job
    device: str
    folder: str
    checkpoint: str

    @property
    def setting(self) -> Setting:
        """The setting that it trains in."""
        return Setting.from_json(self.job.options.setting)

    @property
    def seed(self) -> int:
        """The seed of the training pictures, their order, the augmentation and the first weights."""
        return self.job.round

    def to_json(self) -> dict[str, Any]:
        """Return the task as plain data."""
        return {**vars(self), "job": self.job.to_json()}


def make_job(
    paper: str,
    subject: str,
    arm: str,
    seed: int,
    setting: Setting,
    *,
    hidden: tuple[int, ...],
    device: str,
    threads: int | None,
) -> Job:
    """Return the job of one training; ``device`` is ``cpu`` or ``cuda``, whichever of them it will be."""
    settings = Settings(
        device=device,
        batch=setting.batch,
        input_size=(setting.size, setting.size),
        precision="bf16" if device == "cuda" else "fp32",
        threads=threads,
        quick=setting.effort == "quick",
        training=True,
    )
    return Job(paper, subject, arm, METRIC, settings, seed, Options(setting=setting.to_json(), hidden=hidden))


def failed_rows(reason: str) -> list[Measurement]:
    """Return every row of a training that gave none, with why."""
    return [Measurement.missing(row, unit, reason, failed=True) for row, unit in ROWS.items()]


def label(job: Job) -> str:
    """Return a training in words."""
    arm = "" if job.form == "baseline" else f" {job.form}"
    return f"{job.subject}{arm} seed {job.round}"
