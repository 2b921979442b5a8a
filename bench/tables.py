"""The tables under ``results/tables``, generated from stored records: the same records give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.jsonl import write_whole
from bench.render import render
from bench.report import paper_records, report
from bench.spec import Paper
from bench.store import Store


def write_tables(store: Store, papers: Iterable[Paper], out: Path) -> list[Path]:
    """Write ``<paper>.<device>.md`` for each paper and each device it was measured on, from the newest records.

    Returns:
        The files, in order.

    Raises:
        UserError: a file cannot be written.
    """
    written = []
    for paper in sorted(papers, key=lambda paper: paper.id):
        for device in store.devices():
            records = paper_records(store, paper, device=device)
            if not records:
                continue
            path = out / f"{paper.id}.{device}.md"
            page = render(report(paper, records, samples=store.samples, environment=store.environment), "markdown")
            write_whole(path, page.encode())
            written.append(path)
    return written
