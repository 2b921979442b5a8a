"""Pages from templates. Every printed value is escaped, and shown on one line without control characters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from claimbench.bench.publish.site.sanitising import link, words

TEMPLATES = Path(__file__).parent / "templates"

MARKS = {
    "exact": "\N{HEAVY CHECK MARK}",
    "within rounding": "\N{HEAVY CHECK MARK}",
    "within interval": "\N{HEAVY CHECK MARK}",
    "better": "\N{BLACK UP-POINTING TRIANGLE}",
    "differs": "\N{HEAVY MULTIPLICATION X}",
    "not comparable": "\N{ALMOST EQUAL TO}",
    "not measured": "\N{WHITE CIRCLE}",
    "not reported": "\N{EN DASH}",
    "holds": "\N{HEAVY CHECK MARK}",
    "fails": "\N{HEAVY MULTIPLICATION X}",
    "partly": "\N{CIRCLE WITH LEFT HALF BLACK}",
    "not tested": "\N{WHITE CIRCLE}",
}
"""A mark for each verdict, so that no meaning is in the colour alone."""

TONES = {
    **dict.fromkeys(("exact", "within rounding", "within interval", "better", "holds"), "good"),
    **dict.fromkeys(("differs", "fails"), "bad"),
    **dict.fromkeys(("not comparable", "partly"), "mixed"),
}
"""The colour of each verdict; all others are quiet."""


@dataclass
class Pages:
    """Writes pages, and knows the file name of each.

    Attributes:
        folder: of the site that is written.
        names: of the files, without ending: of ``papers``, ``machines`` and ``operators``, each by its name.
        written: the number of pages so far.
    """

    folder: Path
    names: dict[str, dict[str, str]]
    written: int = field(default=0)

    def root(self, name: str, **values: Any) -> None:
        """Write a page that stands at the top."""
        self._write(name, name, "", values)

    def one(self, kind: str, name: str, **values: Any) -> None:
        """Write the page of a ``paper``, a ``machine`` or an ``operator``."""
        page = self.names[f"{kind}s"][name]
        self._write(f"{kind}.html", f"{kind}s/{page}.html", "../", values | {"page": page})

    def _write(self, template: str, path: str, root: str, values: dict[str, Any]) -> None:
        text = self._templates.get_template(template).render(root=root, names=self.names, here=path, **values)
        target = self.folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self.written += 1

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
        templates.globals.update(marks=MARKS, tones=TONES)
        return templates
