"""The tables under ``results/tables``, generated from stored records: the same records give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from claimbench.bench.measure.operators import kernel_log
from claimbench.bench.papers.spec import Paper
from claimbench.bench.report import operators
from claimbench.bench.report import study as study_report
from claimbench.bench.report.explain import of_stored
from claimbench.bench.report.render import explained, render
from claimbench.bench.report.report import stored_report
from claimbench.bench.report.study import study_of
from claimbench.bench.store import counted
from claimbench.bench.store.jsonl import write_whole
from claimbench.bench.store.store import Store
from claimbench.bench.training.study.study_run import store as study_store
from claimbench.bench.training.study.summary import summaries


def write_tables(store: Store, papers: Iterable[Paper], out: Path) -> list[Path]:
    """Write ``<paper>.<device>.md`` for each paper and each device it was measured on, from the newest records.

    Beside them ``kernels.<device>.md`` for each device that operators were timed on, and ``studies.<device>.md`` for
    each that small-scale studies were trained on, and ``explained.md`` if counts of ``bench explain`` are stored.

    Returns:
        The files, in order.

    Raises:
        UserError: a file cannot be written.
    """
    written = []
    papers = sorted(papers, key=lambda paper: paper.id)
    for paper in papers:
        for device in store.devices():
            found = stored_report(store, paper, device=device)
            if found is None:
                continue
            path = out / f"{paper.id}.{device}.md"
            write_whole(path, render(found, "markdown").encode())
            written.append(path)
    for device in kernel_log.devices(store.root):
        path = out / f"kernels.{device}.md"
        write_whole(path, operators.page(store.root, device).encode())
        written.append(path)
    models = {paper.id: of_stored(paper, counted.stored(store.root, paper.id)) for paper in papers}
    if any(models.values()):
        path = out / "explained.md"
        write_whole(path, explained.page(models).encode())
        written.append(path)
    studies = study_store(store.root)
    for device in studies.devices():
        summarised = summaries(studies, device=device)
        if summarised:
            path = out / f"studies.{device}.md"
            write_whole(path, study_report.page(summarised, study_of, device).encode())
            written.append(path)
    return written
