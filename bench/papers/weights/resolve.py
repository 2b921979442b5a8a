"""The weights of ``bench run``: official ones from the cache, or a file that the user names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.download import cache
from claimbench.bench.papers.weights.fetch import AbsentError, Fetcher

if TYPE_CHECKING:
    from claimbench.bench.papers.weights.choice import Chosen

Key = tuple[str, str]


class WeightsOptions(TypedDict, total=False):
    """The options of a job that name the file of its weights, as in
    :class:`claimbench.bench.core.records.Options`.
    """

    weights_file: str
    weights_sha256: str
    weights_url: str


@dataclass(frozen=True)
class Weights:
    """The weights that a run loads, by paper and variant.

    Attributes:
        files: the options of a job that name its file.
        missing: reasons for missing files, one sentence each.
    """

    files: dict[Key, WeightsOptions] = field(default_factory=dict)
    missing: dict[Key, str] = field(default_factory=dict)


def given(file: str, chosen: Chosen) -> Weights:
    """Return a user's own file as the weights of the one variant that was chosen."""
    evidence: WeightsOptions = {"weights_file": str(Path(file).resolve()), "weights_sha256": digest(file)}
    return Weights({(paper.id, variants[0].name): evidence for paper, variants in chosen})


def official(chosen: Chosen, *, offline: bool, listener: Listener = SILENT) -> Weights:
    """Return the official weights of every variant that has some, verified, after fetching those that are not here.

    Raises:
        UserError: no variant's weights can be had, or a file is not the one that its lock file records.
    """
    fetcher = Fetcher(cache.folder(), offline, listener=listener)
    found = Weights()
    for paper, variants in chosen:
        for variant in variants:
            try:
                held = fetcher.fetch(paper.id, variant)
            except AbsentError as error:
                found.missing[paper.id, variant.name] = str(error)
                continue
            found.files[paper.id, variant.name] = {
                "weights_file": str(held.path),
                "weights_sha256": held.locked.sha256,
                "weights_url": held.locked.url,
            }
    reasons = list(found.missing.values())
    if not found.files:
        more = f" (and {len(reasons) - 1} more variants: `bench weights list` shows them)" if len(reasons) > 1 else ""
        raise UserError(f"{reasons[0]}{more}")
    for reason in reasons:
        listener.note(reason)
    return found
