"""What every counter gives for the models of a paper, stored a line a model below ``results/explained``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from claimbench.bench.store import jsonl

FOLDER = "explained"


@dataclass(frozen=True)
class Counted:
    """One count of one sample.

    Attributes:
        counter: its name, of :data:`claimbench.bench.measure.counters.catalogue.COUNTERS`.
        value: operations or parameters, as the counter returns them; None if it gave none.
        form: of the model; empty for a model that has none.
        input: the shape of the sample.
        change: the state of the model if it is not counted as built, of
            :data:`claimbench.bench.measure.counters.catalogue.CHANGES`.
        shares: the part of each operator or layer, if the counter tells them.
        why: the reason that there is no value, one sentence.
    """

    counter: str
    value: int | float | None
    form: str = ""
    input: tuple[int, ...] = ()
    change: str = ""
    shares: dict[str, int] = field(default_factory=dict)
    why: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counted:
        """Return the count that was stored as ``data``.

        Raises:
            TypeError: a field is missing, unknown or of the wrong type.
        """
        found = cls(**{**data, "input": tuple(data.get("input", ()))})
        if not isinstance(found.counter, str) or not isinstance(found.value, int | float | None):
            raise TypeError("a count has a name and a number")
        return found


@dataclass(frozen=True)
class CountedModel:
    """The counts of one model.

    Attributes:
        model: the variant's name, or as ``--model`` names it.
        counts: in the order in which they were made.
        commit: of this suite.
        versions: of the packages that counted.
    """

    model: str
    counts: tuple[Counted, ...]
    commit: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The input on which the paper counts; it is counted first."""
        return self.counts[0].input if self.counts else ()


def save(results: Path, paper: str, models: Iterable[CountedModel]) -> None:
    """Append the counts of models of a paper.

    Raises:
        UserError: the folder cannot be written.
    """
    jsonl.append(_path(results, paper), [json.dumps(_plain(model)).encode() for model in models])


def stored(results: Path, paper: str) -> dict[str, CountedModel]:
    """Return the newest stored counts of each model of a paper; damaged lines are passed over."""
    found: dict[str, CountedModel] = {}
    try:
        lines, _ = jsonl.read(_path(results, paper))
    except OSError:
        return found
    for line in lines:
        try:
            data = json.loads(line)
            counts = tuple(Counted.from_json(count) for count in data["counts"])
            found[str(data["model"])] = CountedModel(**{**data, "counts": counts})
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _plain(model: CountedModel) -> dict[str, Any]:
    needed = ("counter", "value")
    counts = [{k: v for k, v in asdict(count).items() if v or k in needed} for count in model.counts]
    return {**asdict(model), "counts": counts}


def _path(results: Path, paper: str) -> Path:
    return results / FOLDER / f"{paper}.jsonl"
