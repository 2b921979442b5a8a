"""The process that measures: jobs as a JSON list on stdin, the measurements of each as one JSON line on ``--out-fd``.

The plan decides the jobs of a process (:func:`claimbench.bench.run.plan.processes`).
Whatever the measured code prints goes to stderr, so that it cannot spoil the result. The process imports what it
measures and little else.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UnavailableError, UserError, explain, unknown
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.records import Job, Measurement, read_job
from claimbench.bench.machine.process import Teller, open_answer
from claimbench.bench.measure import METRICS, prepare
from claimbench.bench.run.expected_rows import missing

if TYPE_CHECKING:
    from claimbench.bench.core.task import Subject

_BUILT_FROM = ("config", "sample_shape", "weights_file", "task", "around")
"""The options of a job on which its model depends."""


def main(argv: list[str] | None = None) -> int:
    """Read jobs, measure them and write their rows as they come; the exit status is 0 whenever there are rows."""
    with open_answer(argv) as file:
        load = Loader(Teller(file))
        for job in [read_job(data) for data in json.load(sys.stdin)]:
            prepare(job)
            file.write(json.dumps([asdict(row) for row in run(job, load)], allow_nan=False) + "\n")
            file.flush()
    return 0


class Loader:
    """Builds the subject of a job, or gives the last one again where the job wants the same model.

    Args:
        listener: told of the stages of a job.
    """

    def __init__(self, listener: Listener = SILENT) -> None:
        self._listener = listener
        self._key: object = None
        self._subject: Subject | None = None

    def __call__(self, job: Job) -> Subject:
        """Return the subject; see :func:`claimbench.bench.tasks.subject.load_subject` for its errors."""
        from claimbench.bench.tasks.subject import load_subject

        built_from = [getattr(job.options, name) for name in _BUILT_FROM]
        settings = replace(job.settings, batch=None, quick=False, training=False)
        key = (job.paper, job.subject, job.form, settings, built_from)
        if self._subject is None or key != self._key:
            self._key = self._subject = None  # so that two models are never held at once
            self._listener.at(0, None, "building the model")
            self._subject = replace(load_subject(job), listener=self._listener)
            self._key = key
        self._subject.model.eval()
        self._listener.at(0, None, "measuring")
        return self._subject


def run(job: Job, load: Loader | None = None) -> list[Measurement]:
    """Measure ``job``; whatever goes wrong becomes rows that say so."""
    try:
        if job.metric not in METRICS:
            raise unknown("metric", job.metric, METRICS)
        return [_finite(row) for row in _measure(job, load or Loader())]
    except UnavailableError as error:
        return missing(job, str(error), failed=False)
    except UserError as error:
        return missing(job, str(error), failed=True)
    except Exception as error:  # a model may raise anything, and the row must say what
        import traceback

        traceback.print_exc(file=sys.stderr)
        return missing(job, explain(error, job), failed=True)


def _measure(job: Job, load: Loader) -> list[Measurement]:
    """Return the rows of a job, measured here or in a process for each of the devices that share it."""
    if len(job.options.devices) > 1 and not job.options.group:
        from claimbench.bench.run import launch

        if launch.can_share(job):
            return launch.spread_out(job)
    found: list[Measurement] = import_module(METRICS[job.metric]).measure(load(job), job)
    return found


def _finite(row: Measurement) -> Measurement:
    """Return the row as it can be stored: a figure that is no number is a failure, one in the detail is left out."""
    row = replace(row, detail=_without_nan(row.detail))
    figures = [v for v in (row.value, row.low, row.high, *row.samples) if v is not None]
    if all(math.isfinite(v) for v in figures):
        return row
    return replace(
        row, value=None, low=None, high=None, samples=(), status="failed", reason="the figure is not a finite number"
    )


def _without_nan(value: Any) -> Any:
    """Return nested dicts and lists with None for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
