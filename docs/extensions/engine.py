"""The engine in the API reference: Griffe passes over a folder without ``__init__.py`` inside a package."""

from __future__ import annotations

from typing import Any

import griffe


class Engine(griffe.Extension):
    """Adds ``bench`` to the modules of ``claimbench``, so that Griffe loads its submodules."""

    def on_module_members(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        """Add the module before the submodules of ``claimbench`` are looked for."""
        if mod.path == "claimbench":
            mod.set_member("bench", griffe.Module("bench", filepath=[mod.filepath.parent / "bench"]))
