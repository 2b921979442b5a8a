"""The figures that ``bench train`` leaves beside a model for the claims of its paper: one file a model.

A task's trainer calls :func:`leave`; an experiment in ``claims.py`` finds them in ``ClaimContext.trained()``. Neither
needs the path of the file, nor the engine its content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.claims import Trained
from claimbench.bench.store.jsonl import write_whole

NAME = "for_claims.json"


def leave(folder: Path, paper: str, variant: str, dataset: str, figures: Mapping[str, Any]) -> None:
    """Write the figures that claims of ``paper`` may ask of the model in ``folder``; earlier ones are replaced.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    left = {"paper": paper, "variant": variant, "dataset": dataset, "figures": figures}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / NAME, json.dumps(left).encode() + b"\n")


def read(root: Path, paper: str) -> tuple[Trained, ...]:
    """Return the figures that trainings in the folders of ``root`` left for one paper, in the order of their names.

    Raises:
        UserError: a file is damaged; names it.
    """
    found = []
    for file in sorted(root.glob(f"*/{NAME}")):
        try:
            left = json.loads(file.read_text(encoding="utf-8"))
            owner, variant, dataset, figures = (left[key] for key in ("paper", "variant", "dataset", "figures"))
            dict(figures)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged ({type(error).__name__}): train again, or remove it") from error
        if owner == paper:
            found.append(Trained(variant, dataset, file.parent, figures))
    return tuple(found)
