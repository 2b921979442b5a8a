"""Publishes a site with the records behind it: to a branch, a folder or an archive.

A branch and a folder keep the records in ``results/``. A publisher takes in the records that others have published
there, so that the site shows the records of all and nobody's are lost.
"""

from __future__ import annotations

import filecmp
import gzip
import io
import os
import random
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.publish.site.branch import Branch, Rejected
from claimbench.bench.publish.site.folder import MARK, check, replacing
from claimbench.bench.publish.site.generate import Site, write
from claimbench.bench.publish.site.merge import merge
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.store.jsonl import write_whole

RECORDS = "results"
TRIES = 10
"""The number of tries on a branch that others keep moving."""

MESSAGE = "Publish the leaderboard"
ENDINGS = (".tar.gz", ".tgz", ".zip")


def to_branch(source: SiteSource, repository: Path, remote: str, branch: str, *, dry_run: bool = False) -> str:
    """Commit the site to a branch of a remote, and return the outcome, one sentence.

    The checkout, its index and its branches stay as they are. If others push meanwhile, their records are taken in
    and the site is built anew.

    Raises:
        UserError: the branch cannot be published to.
    """
    target = Branch(repository, remote, branch)
    target.check()
    where = f"{branch} of {remote}"
    for attempt in range(TRIES):
        with target.fetched() as parent, _scratch() as scratch:
            if parent:
                target.extract(parent, RECORDS, scratch / "published")
            site = scratch / "site"
            site.mkdir()
            made = _write(source, scratch / "published" / RECORDS, site)
            (site / MARK).touch()
            commit, changes = target.commit(site, parent, scratch, f"{MESSAGE}: {made.records} records")
            if not commit:
                return f"nothing has changed: {where} shows these {made.records} records already"
            what = f"{made.pages} pages from {made.records} records ({changes})"
            if dry_run:
                return f"would commit to {where}: {what}"
            try:
                target.push(commit)
            except Rejected:
                time.sleep(random.uniform(0, 0.5 * (attempt + 1)))
                continue
            return f"committed {commit[:12]} to {where}: {what}"
    raise UserError(f"{where} moved {TRIES} times while the site was built: nothing was published, try again later")


def to_folder(source: SiteSource, target: Path, *, dry_run: bool = False) -> str:
    """Replace a folder by the site, whole, and return the outcome, one sentence.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    if dry_run:
        check(target)
        with _scratch() as scratch:
            made = _write(source, target / RECORDS, scratch)
            (scratch / MARK).touch()
            return (
                f"would write {made.pages} pages from {made.records} records to {target}: {_changes(scratch, target)}"
            )
    with replacing(target) as folder:
        made = _write(source, target / RECORDS, folder)
    return f"wrote {made.pages} pages from {made.records} records to {target}"


def to_archive(source: SiteSource, target: Path, *, dry_run: bool = False) -> str:
    """Write the site as one file, and return the outcome, one sentence. The same records give the same bytes.

    Raises:
        UserError: the file's name does not tell a format, or it cannot be written.
    """
    check_archive(target)
    with _scratch() as scratch:
        made = _write(source, Path(os.devnull), scratch)
        body = _zip(scratch) if target.name.endswith(".zip") else _tar(scratch)
    size = f"{made.pages} pages from {made.records} records, {len(body) / 2**20:.1f} MiB"
    if dry_run:
        return f"would {'replace' if target.exists() else 'write'} {target}: {size}"
    write_whole(target, body)
    return f"wrote {target}: {size}"


def check_archive(target: Path) -> None:
    """Refuse a path that cannot be an archive.

    Raises:
        UserError: its name does not tell a format, or it is a folder.
    """
    if not target.name.endswith(ENDINGS):
        raise UserError(f"{target} must end in {', '.join(ENDINGS)}: that tells the format")
    if target.is_dir():
        raise UserError(f"{target} is a folder: name a file, or publish to a folder with --to")


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="claimbench-publish-") as folder:
        yield Path(folder)


def _write(source: SiteSource, published: Path, site: Path) -> Site:
    """Write the site of one's own records and the published ones, with those records beside it."""
    merge(published, source.results, site / RECORDS)
    return write(source.with_results(site / RECORDS), site)


def _files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _changes(new: Path, old: Path) -> str:
    after, before = set(_files(new)), set(_files(old)) if old.is_dir() else set()
    changed = sum(not filecmp.cmp(new / name, old / name, shallow=False) for name in after & before)
    return f"{len(after - before)} files new, {changed} changed, {len(before - after)} gone"


def _zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _files(folder):
            entry = zipfile.ZipInfo(f"leaderboard/{name.as_posix()}", (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    return buffer.getvalue()


def _tar(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name in _files(folder):
            body = (folder / name).read_bytes()
            entry = tarfile.TarInfo(f"leaderboard/{name.as_posix()}")
            entry.size, entry.mode = len(body), 0o644
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()
