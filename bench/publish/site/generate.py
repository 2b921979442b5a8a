"""Writes the site: pages from templates, and beside them the data that their tables and charts show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.core.text import flat
from claimbench.bench.publish.site import assets, context, preview
from claimbench.bench.publish.site.badges import badge
from claimbench.bench.publish.site.folder import replacing
from claimbench.bench.publish.site.gather import Material, gather
from claimbench.bench.publish.site.machines import machine_rows, machines
from claimbench.bench.publish.site.operators import operators
from claimbench.bench.publish.site.page_rows import paper_rows
from claimbench.bench.publish.site.pages import Pages
from claimbench.bench.publish.site.points import points
from claimbench.bench.publish.site.sanitising import page_names, script
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.publish.site.trends import history
from claimbench.bench.report.export import exported
from claimbench.bench.report.render import tidy
from claimbench.bench.report.tally import tally
from claimbench.bench.store.store import SkippedLine


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
    names = {
        "papers": page_names(result.paper.id for result in material.papers),
        "machines": page_names(machine.device for machine in found),
        "operators": page_names(operator.name for operator in timed),
    }
    pages = Pages(folder, names, source.repository, source.address)
    assets.write(folder / "assets")
    for name in ("badges", "data"):
        (folder / name).mkdir()
    titles = {result.paper.task: result.report.task for result in material.papers if result.report.task}
    _data(folder, "points", pages=names["papers"], tasks=titles, **_points(*points(material.papers)))
    for result in material.papers:
        name, mine = result.paper.id, rows[result.paper.id]
        known = _environments(material, {str(row.get("environment", "")) for row in mine})
        shown = {"rows": mine, "environments": known, "history": history(store, result)}
        _data(folder, f"paper-{names['papers'][name]}", **shown, **_points(*points([result])))
        page = names["papers"][name]
        pages.one("paper", name, **context.paper(result, mine, material.studies, source.address, page))
        (folder / "badges" / f"{page}.svg").write_text(badge(tally(result.report.rows)), encoding="utf-8")
    for machine in found:
        mine = machine_rows(material.papers, machine.device, rows)
        _data(folder, f"machine-{names['machines'][machine.device]}", rows=mine, pages=names["papers"])
        pages.one("machine", machine.device, machine=machine)
    for operator in timed:
        known = _environments(material, {row["environment"] for row in operator.rows})
        _data(folder, f"operator-{names['operators'][operator.name]}", rows=operator.rows, environments=known)
        pages.one("operator", operator.name, operator=operator)
    exportable = exported(result.report for result in material.papers)
    for ending in (".csv", ".json"):
        (folder / "data" / f"claimbench{ending}").write_bytes(tidy.content(exportable, ending))
    downloads = sorted(path.name for path in (folder / "data").glob("claimbench.*"))
    overview = context.overview(material, rows, found, timed, downloads)
    for name in ("index.html", "compare.html", "studies.html", "regressions.html", "about.html"):
        pages.root(name, **overview)
    pages.feed(overview["nights"], material.newest)
    total, models = overview["total"], overview["models"]
    preview.write(
        folder / "preview.png",
        "Do the papers' numbers hold today?",
        [
            f"{len(material.papers)} papers, {models} models",
            f"{total['holds']} figures hold, {total['explained']} are explained, {total['off']} are off",
            f"equal to the official code in {total['parity']} of {total['compared']} models",
        ],
    )
    (folder / ".nojekyll").touch()
    return Site(pages.written, material.records, material.problems)


def _points(found: Iterable[Any], axes: Mapping[str, Any]) -> dict[str, Any]:
    return {"points": [asdict(point) for point in found], "axes": [asdict(axis) for axis in axes.values()]}


def _environments(material: Material, digests: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    known = material.environments
    return {digest: list(flat(known[digest]).items()) for digest in sorted(digests) if known.get(digest)}


def _data(folder: Path, name: str, **parts: Any) -> None:
    """Write one script of data for a page."""
    text = "".join(script(part, value) for part, value in parts.items())
    (folder / "data" / f"{name}.js").write_text(text, encoding="ascii")
