"""Counts the classes that a job's model tells apart, in a process of its own.

A model that crashes or never ends does not take the check before a run with it, and its memory is free again.
"""

from __future__ import annotations

import json
import sys

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError, explain
from claimbench.bench.core.records import Job, read_job
from claimbench.bench.machine.process import ask, open_answer
from claimbench.bench.measure import prepare

TIMEOUT_S = 900.0


def count(job: Job) -> int:
    """Return the number of classes that the model of a job tells apart.

    Raises:
        UnavailableError: it cannot be found out; one sentence.
        UserError: the model or a setting is wrong; one sentence.
        Interrupted: a signal asked to stop.
    """
    try:
        answer = ask("claimbench.bench.tasks.classes", job.to_json(), TIMEOUT_S)
    except RuntimeError as error:
        raise UnavailableError(str(error)) from error
    if "wrong" in answer:
        raise UserError(answer["wrong"])
    if "unknown" in answer:
        raise UnavailableError(answer["unknown"])
    return int(answer["classes"])


def main(argv: list[str] | None = None) -> int:
    """Read a job as JSON on stdin and answer with its number of classes, or with the error."""
    with open_answer(argv) as file:
        job = read_job(json.load(sys.stdin))
        prepare(job)
        file.write(json.dumps(_answer(job)) + "\n")
    return 0


def _answer(job: Job) -> dict[str, int | str]:
    try:
        return {"classes": tasks.of(job.options).classes(job)}
    except UserError as error:
        return {"wrong": str(error)}
    except UnavailableError as error:
        return {"unknown": str(error)}
    except Exception as error:  # a model may raise anything
        return {"unknown": explain(error, job)}


if __name__ == "__main__":
    sys.exit(main())
