"""The skeleton of a paper that lives elsewhere: ``bench new-paper`` writes it, and it runs as it is."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers import registry

TEMPLATE = Path(__file__).parent / "template"
"""The files, each a Jinja template of the paper's ``id``; those in ``paper`` go to the folder of that name."""

_ID = re.compile(r"[a-z][a-z0-9_]{0,79}")
_NAMES = {"gitignore": ".gitignore"}


def write(folder: Path, paper_id: str = "") -> str:
    """Write the skeleton into ``folder``, and return the paper's id.

    Args:
        folder: a new folder, or an empty one.
        paper_id: empty for the folder's name, in small letters and with underscores for hyphens.

    Raises:
        UserError: the folder is not empty or cannot be written, or the id is not one.
    """
    name = _checked(paper_id or folder.resolve().name.lower().replace("-", "_"))
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} exists and is not empty: name a new folder")
        for path, text in _files(name).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror})") from error
    return name


def _checked(name: str) -> str:
    if not _ID.fullmatch(name) or iskeyword(name):
        raise UserError(
            f"{name!r} is not a paper's id (small letters, digits and underscores, a letter first): give one with --id"
        )
    if name in registry.entries():
        raise UserError(f"there is a paper {name} already: give another id with --id")
    if _is_module(name):
        raise UserError(f"{name} is the name of a Python module here: give another id with --id")
    return name


def _is_module(name: str) -> bool:
    """Whether a package of this name would hide a module. A folder without ``__init__.py`` is none."""
    found = find_spec(name)
    return name in sys.stdlib_module_names or (found is not None and found.origin is not None)


def _files(name: str) -> dict[str, str]:
    """Return the files of the skeleton: each one's text by its path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(TEMPLATE), undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    found = {}
    for template in sorted(templates.list_templates()):
        folder, _, file = template.removesuffix(".jinja").rpartition("/")
        path = f"{name}/{file}" if folder == "paper" else _NAMES.get(file, file)
        found[path] = templates.get_template(template).render(id=name)
    return found
