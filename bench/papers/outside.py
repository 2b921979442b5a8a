"""Papers from elsewhere, under ``BENCH_PAPERS`` or in packages of their own: the identity of their code.

The commit of this suite says nothing of their code, so their records name it: by the digest of the paper's folder, and
by the commit of the repository that holds it. The digest is that of the lines ``sha256sum`` prints for the files, in
the order of their paths, without names that begin with a dot and ``__pycache__``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from claimbench.bench.core import files
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import PaperCode
from claimbench.bench.machine import environment
from claimbench.bench.papers import registry


def elsewhere(papers: Iterable[str]) -> tuple[str, ...]:
    """Return those of some papers that are not this suite's own, each once."""
    return tuple(dict.fromkeys(name for name in papers if name and not registry.is_own(name)))


def codes(papers: Iterable[str]) -> dict[str, PaperCode]:
    """Return the code of each of these papers that is from elsewhere, by its id.

    Raises:
        UserError: the folder of one cannot be read.
    """
    known = registry.entries()
    found = (known[name] for name in elsewhere(papers) if name in known)
    return {
        entry.id: PaperCode(digest_of(digests(entry.folder)), environment.commit_of(entry.folder))
        for entry in found
        if entry.folder != Path()
    }


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a paper, by its path in the paper's folder.

    Raises:
        UserError: the folder cannot be read.
    """
    found = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in name.parts):
                found[name.as_posix()] = files.digest(path)
    except OSError as error:
        raise UserError(f"the paper in {folder} cannot be read ({error})") from error
    return found


def digest_of(listing: Mapping[str, str]) -> str:
    """Return the digest of a folder from the digests of its files by their paths."""
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(listing.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
