"""The process of one training: a task as JSON on stdin, an event a line on ``--out-fd``.

``{"epoch": ...}`` after each epoch; at last ``{"rows": [...]}``, or ``{"failed": reason}``, one sentence.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from claimbench.bench.core.errors import UserError, explain
from claimbench.bench.core.records import read_job
from claimbench.bench.machine.process import open_answer
from claimbench.bench.training.study.study_task import StudyTask


def main(argv: list[str] | None = None) -> int:
    """Run the training that stdin names and report it; the exit status is 0 whenever the last event is there."""
    with open_answer(argv) as file:
        given = json.load(sys.stdin)
        task = StudyTask(**{**given, "job": read_job(given["job"])})

        def tell(event: dict[str, Any]) -> None:
            file.write(json.dumps(event) + "\n")
            file.flush()

        tell(_last_event(task, tell))
    return 0


def _last_event(task: StudyTask, tell: Any) -> dict[str, Any]:
    threads = task.job.settings.threads
    if threads is not None:  # read when torch is loaded
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    from claimbench.bench.training.study.training import Training

    try:
        return {"rows": [asdict(row) for row in Training(task).run(tell)]}
    except UserError as error:
        return {"failed": str(error)}
    except Exception as error:  # a paper's block may raise anything, and the row must say what
        import traceback

        traceback.print_exc(file=sys.stderr)
        return {"failed": explain(error, task.job)}


if __name__ == "__main__":
    sys.exit(main())
