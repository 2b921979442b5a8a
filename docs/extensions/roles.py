"""Docstrings in reStructuredText as Markdown: roles become links where their target has a place in the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|data|func|meth|mod):`(~?)([\w.]+)`")
_LITERAL_BLOCK = re.compile(r"::(?=\n\n +)")


class Roles(griffe.Extension):
    """Rewrites the docstring of every object as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Replace the roles and the double colons before indented blocks."""
        if obj.docstring is not None:
            obj.docstring.value = _LITERAL_BLOCK.sub(":", _ROLE.sub(_link, obj.docstring.value))


def _link(role: re.Match[str]) -> str:
    short, path = role.groups()
    title = path.rpartition(".")[2] if short else path
    return f'<autoref identifier="{path}" optional><code>{title}</code></autoref>'
