"""Weights from their publishers into the cache: fetched once, recorded in a lock file, then verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.download import cache, content
from claimbench.bench.data.download.download import ChangedError, Download, DownloadError, Patience
from claimbench.bench.data.download.part import Part
from claimbench.bench.papers import registry
from claimbench.bench.papers.models.state import load_state
from claimbench.bench.papers.weights import hub, lock
from claimbench.bench.papers.weights.lock import Locked
from claimbench.bench.papers.weights.sources import WeightsSource, source_of

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Checkpoint, Variant

_SELF = ("127.0.0.1", "::1", "localhost")


class AbsentError(UserError):
    """Weights are not here and cannot be had now; the sentence names the file to download and its place."""


@dataclass(frozen=True)
class Held:
    """A variant's weights in the cache, verified.

    Attributes:
        path: the file.
        locked: its entry in the lock file.
        lock: that lock file.
        news: the way to it: ``fetched``, ``recorded`` (found here, not yet in a lock file) or ``verified``.
    """

    path: Path
    locked: Locked
    lock: Path
    news: str


@dataclass(frozen=True)
class WeightsPlace:
    """The address of a variant's weights and their place in the cache.

    Attributes:
        paper, variant: the owner of the weights.
        checkpoint, source: the place of publication.
        path: their file in the cache, there or not.
        locks: the folders of lock files: the paper's own, then the cache's.
    """

    paper: str
    variant: str
    checkpoint: Checkpoint
    source: WeightsSource
    path: Path
    locks: tuple[Path, Path]

    def __str__(self) -> str:
        return f"the official weights of {self.paper}/{self.variant}"

    def locked(self) -> tuple[Locked, Path] | None:
        """Return the entry of the file, and the lock file that holds it."""
        return lock.find(self.locks, self.variant, self.source.url)

    def by_hand(self) -> str:
        """Return the step that a person has to take, a phrase."""
        note = f" ({self.source.note})" if self.source.note else ""
        return f"download {self.source.address}{note} and save it as {self.path}"


def place_of(root: Path, paper: str, variant: Variant) -> WeightsPlace | None:
    """Return the place of a variant's weights in the cache ``root``; None if none are published."""
    if variant.checkpoint is None:
        return None
    source = source_of(variant.checkpoint)
    folder = root / paper
    locks = (registry.entry(paper).folder, folder)
    return WeightsPlace(
        paper, variant.name, variant.checkpoint, source, folder / f"{variant.name}{source.ending}", locks
    )


def none_published(paper: str, variant: Variant) -> AbsentError:
    """Return the error for a variant without published weights."""
    return AbsentError(f"no official weights of {paper}/{variant.name} are published: use random ones or a file")


def verify(place: WeightsPlace) -> Held | None:
    """Return the cached file if it is the recorded one; None if it is not here or nothing is recorded of it.

    Raises:
        UserError: it is another file, or a lock file is damaged.
    """
    known = place.locked()
    if known is None or not place.path.is_file():
        return None
    locked, file = known
    found = digest(place.path)
    if found != locked.sha256:
        raise UserError(
            f"{place.path} is not the file that {file} records: its SHA-256 begins with {found[:12]} instead of "
            f"{locked.sha256[:12]}; move it away and fetch it again"
        )
    return Held(place.path, locked, file, "verified")


@dataclass
class Fetcher:
    """Fetches weights into one cache.

    Attributes:
        root: the folder of the cache.
        offline: whether the network is forbidden.
        patience: with slow and failing servers.
        listener: of the progress.
    """

    root: Path
    offline: bool = False
    patience: Patience = field(default_factory=Patience)
    listener: Listener = SILENT
    _dead: dict[str, str] = field(default_factory=dict)

    def fetch(self, paper: str, variant: Variant) -> Held:
        """Return a variant's weights, verified; fetch them first if they are not here.

        Raises:
            AbsentError: they are not here and cannot be had; the sentence names the file to download and its place.
            UserError: they have changed, cannot be weights, or cannot be written.
        """
        place = place_of(self.root, paper, variant)
        if place is None:
            raise none_published(paper, variant)
        held = verify(place)
        if held is not None:
            return held
        if not place.path.is_file():
            self._check_allowed(place)
        with cache.alone(place.path, lambda: self.listener.note(f"waiting for another process to fetch {place.path}")):
            return verify(place) or self._first_sight(place)

    def _check_allowed(self, place: WeightsPlace) -> None:
        if place.source.kind == "hand":
            raise AbsentError(f"{place} cannot be fetched without a browser: {place.by_hand()}")
        if self.offline or hub.offline():
            why = "--offline" if self.offline else "HF_HUB_OFFLINE"
            raise AbsentError(f"{place} are not here and {why} forbids the network: {place.by_hand()}")
        parts = urlsplit(place.source.url)
        if parts.scheme == "http" and parts.hostname not in _SELF and not (place.checkpoint.sha256 or place.locked()):
            raise AbsentError(f"{place} are published without encryption and without a digest: {place.by_hand()}")

    def _first_sight(self, place: WeightsPlace) -> Held:
        """Take in a file that no lock file knows, or that is not here."""
        if place.path.is_file():
            locked = self._accept(place, place.path, "")
            return Held(place.path, locked, self._record(place, locked), "recorded")
        self._check_allowed(place)
        part = Part(place.path.with_name(f"{place.path.name}.part"))
        known = place.locked()
        commit, stated = "", ""
        try:
            commit, stated = self._download(place, part, known[0] if known else None)
        except ChangedError as error:
            raise UserError(
                f"{place} have changed where they are published, {place.source.address}: {error}; nothing was taken in"
            ) from error
        except DownloadError as error:
            raise AbsentError(f"{place} cannot be fetched, {error}: {place.by_hand()}") from error
        locked = self._accept(place, part.path, stated, commit)
        part.finish(place.path)
        return Held(place.path, locked, known[1] if known else self._record(place, locked), "fetched")

    def _download(self, place: WeightsPlace, part: Part, known: Locked | None) -> tuple[str, str]:
        """Bring the file; return the hub's commit and the SHA-256 that it states, empty elsewhere."""
        source = place.source
        host = urlsplit(source.address).netloc
        if host in self._dead:
            raise DownloadError(self._dead[host], unreachable=True)
        url, headers, size, commit, stated = source.url, {}, known.size if known else None, "", ""
        name = f"{place.paper}/{place.variant}"
        self.listener.note(f"fetching {name} from {source.address}")
        with self.listener.begin(name, unit="B") as told:
            try:
                if source.kind == "hub":
                    revision = known.revision if known and known.revision else source.revision
                    found = hub.resolve(source, revision, self.patience, told)
                    url, headers, commit, stated = found.url, found.headers, found.commit, found.sha256
                    size = size or found.size
                Download(url, part, size, headers, self.patience, told).run()
            except DownloadError as error:
                if error.unreachable:
                    self._dead[host] = str(error)
                raise
            except KeyboardInterrupt:
                here = cache.size_text(part.size)
                raise KeyboardInterrupt(f"the next fetch of {name} goes on after {here}") from None
        return commit, stated

    def _accept(self, place: WeightsPlace, file: Path, stated: str, commit: str = "") -> Locked:
        """Return the entry to record of a file, after every check that there is.

        Raises:
            UserError: it cannot be weights, or is not the file that it must be.
        """
        new = file != place.path
        problem = content.problem(file)
        if problem:
            what = f"what {place.source.address} gives" if new else str(file)
            if new:
                Part(file).drop()
            raise AbsentError(f"{what} cannot be {place}: {problem}; {place.by_hand()}")
        found = digest(file)
        known = place.locked()
        for expected, who in (
            (known[0].sha256 if known else "", f"{known[1]} records" if known else ""),
            (place.checkpoint.sha256 or "", "paper.yaml names"),
            (stated, "the hub states"),
            (place.source.digest_begins, "its name promises"),
        ):
            if not found.startswith(expected):
                kept = self._set_aside(place, file)
                begins = expected[:12]
                raise UserError(
                    f"{place} have changed: the SHA-256 of {place.source.address if new else file} begins with "
                    f"{found[: len(begins)]} and {who} {begins}; the file was not taken in{kept}"
                )
        if known is None:
            try:
                load_state(file)
            except UserError as error:
                kept = self._set_aside(place, file)
                raise UserError(f"{error}; the file was not taken in{kept}") from error
        return Locked(place.source.url, found, file.stat().st_size, commit)

    def _set_aside(self, place: WeightsPlace, file: Path) -> str:
        """Keep a download that was refused, so that a user can look at it; return a phrase with its place."""
        if file == place.path:
            return ""
        kept = place.path.with_name(f"{place.path.name}.refused")
        Part(file).finish(kept)
        return f" and is kept as {kept}"

    def _record(self, place: WeightsPlace, locked: Locked) -> Path:
        file = lock.record(place.locks, place.variant, locked)
        if file.parent != place.locks[0]:
            self.listener.note(f"{place.locks[0]} cannot be written: the SHA-256 is recorded in {file} instead")
        return file
