"""The process that counts: models with their figures as JSON on stdin, a count a line on ``--out-fd``.

The line after the last count of a model says why some are missing, or nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, read_job
from claimbench.bench.core.rounding import Printed
from claimbench.bench.core.task import Subject, arguments
from claimbench.bench.core.text import first_line
from claimbench.bench.machine.process import open_answer
from claimbench.bench.measure.counters.count import count
from claimbench.bench.report.explain import AskedFigure, explain
from claimbench.bench.store.counted import Counted
from claimbench.bench.tasks.subject import load_subject


def main(argv: list[str] | None = None) -> int:
    """Count the models one after the other; the exit status is 0."""
    with open_answer(argv) as file:

        def answer(line: Any) -> None:
            file.write(json.dumps(line) + "\n")
            file.flush()

        task = json.load(sys.stdin)
        for model in task["models"]:
            try:
                for counted in _counts(model, task["budget_s"]):
                    answer({"count": asdict(counted)})
            except (UserError, UnavailableError) as error:
                answer({"problem": str(error)})
            else:
                answer({"problem": ""})
    return 0


def _counts(model: dict[str, Any], budget_s: float) -> Iterator[Counted]:
    """Yield the counts of a model in each form and input that its figures describe, and in others if need be."""
    figures = [read_figure(figure) for figure in model["figures"]]
    operations = not figures or any(figure.quantity == "operations" for figure in figures)
    made: list[Counted] = []

    def enough(counts: list[Counted]) -> bool:
        return bool(figures) and all(explain(figure, [*made, *counts]).fits for figure in figures)

    for number, job in enumerate(map(read_job, [*model["jobs"], *model["others"]])):
        if number >= len(model["jobs"]) and enough([]):
            return
        subject = _subject(job)
        inputs = arguments(subject.sample(1))
        found = []
        ours = bool(job.paper)
        for counted in count(subject.model, inputs, job.form, budget_s, enough, operations=operations, ours=ours):
            found.append(counted)
            yield counted
        made += found


def _subject(job: Job) -> Subject:
    try:
        return load_subject(job)
    except (UserError, UnavailableError):
        raise
    except Exception as error:  # a model may raise anything while it is built
        raise UserError(f"{job.subject} cannot be built: {type(error).__name__}: {first_line(error)}") from error


def plain_figure(figure: AskedFigure) -> dict[str, Any]:
    """Return a figure as plain data, which :func:`read_figure` reads."""
    return {**vars(figure), "printed": figure.printed.text, "scale": str(figure.scale)}


def read_figure(data: dict[str, Any]) -> AskedFigure:
    """Return the figure that :func:`plain_figure` turned into ``data``."""
    printed = Printed.parse(data["printed"])
    assert printed is not None
    return AskedFigure(**{**data, "printed": printed, "scale": Decimal(data["scale"]), "input": tuple(data["input"])})


if __name__ == "__main__":
    sys.exit(main())
