"""Pages from templates. Every printed value is escaped, and shown on one line without control characters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from claimbench.bench.publish.site.nights import NightLine
from claimbench.bench.publish.site.sanitising import link, words
from claimbench.bench.report import study
from claimbench.bench.store.store import when

TEMPLATES = Path(__file__).parent / "templates"

MOST_ENTRIES = 50
"""The newest nights that the feed holds."""

MARKS = {
    "exact": "\N{HEAVY CHECK MARK}",
    "within rounding": "\N{HEAVY CHECK MARK}",
    "within interval": "\N{HEAVY CHECK MARK}",
    "better": "\N{BLACK UP-POINTING TRIANGLE}",
    "differs": "\N{HEAVY MULTIPLICATION X}",
    "explained": "\N{ALMOST EQUAL TO}",
    "off": "\N{HEAVY MULTIPLICATION X}",
    "not comparable": "\N{WHITE CIRCLE}",
    "not measured": "\N{WHITE CIRCLE}",
    "not reported": "\N{EN DASH}",
    "holds": "\N{HEAVY CHECK MARK}",
    "fails": "\N{HEAVY MULTIPLICATION X}",
    "partly": "\N{CIRCLE WITH LEFT HALF BLACK}",
    "not tested": "\N{WHITE CIRCLE}",
    "failed": "!",
    "helps": "\N{BLACK UP-POINTING TRIANGLE}",
    "hurts": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "no difference seen": "=",
    "faster": "\N{BLACK UP-POINTING TRIANGLE}",
    "slower": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "same": "=",
    "ambiguous": "?",
    "good": "\N{HEAVY CHECK MARK}",
    "bad": "\N{HEAVY MULTIPLICATION X}",
}
"""A mark for each verdict, so that no meaning is in the colour alone."""

TONES = {
    **dict.fromkeys(
        ("exact", "within rounding", "within interval", "better", "holds", "helps", "faster", "good"), "good"
    ),
    **dict.fromkeys(("off", "fails", "failed", "hurts", "slower", "bad"), "bad"),
    **dict.fromkeys(("partly", "ambiguous"), "mixed"),
    "explained": "known",
}
"""The colour of each verdict; all others are quiet."""


@dataclass
class Pages:
    """Writes pages, and knows the file name of each.

    Attributes:
        folder: of the site that is written.
        names: of the files, without ending: of ``papers``, ``machines`` and ``operators``, each by its name.
        repository, address: of the code and of this site in the web; empty if that is not known.
        written: the number of pages so far.
    """

    folder: Path
    names: dict[str, dict[str, str]]
    repository: str = ""
    address: str = ""
    written: int = field(default=0)

    def root(self, name: str, **values: Any) -> None:
        """Write a page that stands at the top."""
        self._write(name, name, "", values)

    def one(self, kind: str, name: str, **values: Any) -> None:
        """Write the page of a ``paper``, a ``machine`` or an ``operator``."""
        page = self.names[f"{kind}s"][name]
        self._write(f"{kind}.html", f"{kind}s/{page}.html", "../", values | {"page": page})

    def _write(self, template: str, path: str, root: str, values: dict[str, Any]) -> None:
        text = self._render(template, root=root, names=self.names, here=path, **values)
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self.written += 1

    def feed(self, nights: list[NightLine], newest: str) -> None:
        """Write the Atom feed of the nights; ``newest`` is the time of the newest record."""
        updated = (
            nights[0].updated if nights else (time.isoformat() if (time := when(newest)) else "1970-01-01T00:00:00Z")
        )
        text = self._render("feed.xml", nights=nights[:MOST_ENTRIES], updated=updated)
        (self.folder / "feed.xml").write_text(text, encoding="utf-8")

    def _render(self, template: str, **values: Any) -> str:
        found = self._templates.get_template(template)
        return found.render(repository=self.repository, address=self.address, **values)

    @cached_property
    def _templates(self) -> Environment:
        templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=lambda value: value if isinstance(value, Markup) else "" if value is None else words(value),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters["web"] = link
        templates.globals.update(
            marks=MARKS, tones=TONES, arm_titles=study.TITLES, covers=study.COVERS, limits=study.LIMITS
        )
        return templates
