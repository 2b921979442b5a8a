"""Writes the site: pages from templates, and beside them the data that their tables and charts show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.publish.site import assets, charts, context
from claimbench.bench.publish.site.folder import replacing
from claimbench.bench.publish.site.gather import Material, PaperResults, gather
from claimbench.bench.publish.site.machines import machine_rows, machines
from claimbench.bench.publish.site.operators import operators
from claimbench.bench.publish.site.page_rows import flat, paper_rows
from claimbench.bench.publish.site.pages import Pages
from claimbench.bench.publish.site.points import points
from claimbench.bench.publish.site.sanitising import page_names, script
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.publish.site.trends import history
from claimbench.bench.store.store import SkippedLine, Store


@dataclass(frozen=True)
class Site:
    """The result of a build: the numbers of pages and records, and the records that could not be read."""

    pages: int
    records: int
    problems: list[SkippedLine]


def build(source: SiteSource, out: Path) -> Site:
    """Write a site into the folder ``out``, in place of the site that may be there.

    Raises:
        UserError: ``out`` holds something else, or cannot be written.
    """
    with replacing(out) as folder:
        return write(source, folder)


def write(source: SiteSource, folder: Path) -> Site:
    """Write a site into an empty folder; see :func:`build`."""
    store = source.store()
    material = gather(store, source.papers, source.broken)
    rows = {result.paper.id: paper_rows(result) for result in material.papers}
    found = machines(material)
    timed = operators(material.kernels, source.listed)
    pages = Pages(
        folder,
        papers=page_names(result.paper.id for result in material.papers),
        machines=page_names(machine.device for machine in found),
        operators=page_names(operator.name for operator in timed),
    )
    assets.write(folder / "assets", charts.charts())
    (folder / "data").mkdir()
    everything, axes = points(material.papers)
    _data(folder, "points", pages=pages.papers, **_points(everything, axes))
    for result in material.papers:
        _paper_data(store, pages, material, result, rows[result.paper.id])
        pages.paper(result.paper.id, **context.paper(result, rows[result.paper.id]))
    for machine in found:
        mine = machine_rows(material.papers, machine.device, rows)
        _data(folder, f"machine-{pages.machines[machine.device]}", rows=mine, pages=pages.papers)
        pages.machine(machine.device, machine=machine)
    for operator in timed:
        digests = {row["environment"] for row in operator.rows}
        known = _environments(material, digests)
        _data(folder, f"operator-{pages.operators[operator.name]}", rows=operator.rows, environments=known)
        pages.operator(operator.name, operator=operator)
    overview = context.overview(material, rows, found, timed)
    pages.root("index.html", **overview)
    pages.root("compare.html", **overview)
    pages.root("about.html", **overview)
    (folder / ".nojekyll").touch()
    return Site(pages.written, material.records, material.problems)


def _points(found: Iterable[Any], axes: Mapping[str, Any]) -> dict[str, Any]:
    return {"points": [asdict(point) for point in found], "axes": [asdict(axis) for axis in axes.values()]}


def _paper_data(
    store: Store, pages: Pages, material: Material, result: PaperResults, rows: list[dict[str, Any]]
) -> None:
    found, axes = points([result])
    _data(
        pages.folder,
        f"paper-{pages.papers[result.paper.id]}",
        rows=rows,
        environments=_environments(material, {str(row.get("environment", "")) for row in rows}),
        history=history(store, result),
        **_points(found, axes),
    )


def _environments(material: Material, digests: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    known = material.environments
    return {digest: flat(known[digest]) for digest in sorted(digests) if known.get(digest)}


def _data(folder: Path, name: str, **parts: Any) -> None:
    """Write one script of data for a page."""
    text = "".join(script(part, value) for part, value in parts.items())
    (folder / "data" / f"{name}.js").write_text(text, encoding="ascii")
