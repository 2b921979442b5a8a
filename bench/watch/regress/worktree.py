"""Checkouts beside the user's own, which is never touched: git worktrees in a scratch folder, removed at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from claimbench.bench.core.errors import UserError

_TIMEOUT_S = 600.0


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    """Return the output of git; no hook runs, and messages are in English.

    Raises:
        UserError: git fails, and ``check`` is set; with git's own words.
    """
    command = ["git", "-c", "core.hooksPath=/dev/null", "-C", str(folder), *arguments]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, env={**variables, "LC_ALL": "C"}, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"git {arguments[0]} cannot be run ({error})") from error
    if check and done.returncode:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise UserError(f"git {arguments[0]} failed in {folder} ({said.removeprefix('fatal: ')})")
    return done.stdout


def resolve(repository: Path, name: str) -> str:
    """Return the commit that ``name`` means.

    Raises:
        UserError: there is none, or no repository.
    """
    if not repository.is_dir() or not git(repository, "rev-parse", "--git-dir", check=False).strip():
        raise UserError(f"{repository} is not in a git repository: name one with --repo")
    found = git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)
    commits = found.split()
    if not commits:
        raise UserError(f"there is no commit {name!r} in {repository}")
    return commits[-1]


def describe(repository: Path, commit: str) -> str:
    """Return a commit as a person would quote it: its short hash and its subject."""
    return git(repository, "show", "--no-patch", "--format=%h %s", commit).strip()


@contextmanager
def worktrees(repository: Path, commits: dict[str, str]) -> Iterator[dict[str, Path]]:
    """Check out each of ``commits`` (by a name of ours) in a folder of its own while the block runs.

    A signal that asks to end raises KeyboardInterrupt meanwhile, so that nothing is left behind.

    Raises:
        UserError: git cannot make them.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-bisect-") as scratch:
            folders = {name: Path(scratch) / name for name in commits}
            try:
                for name, commit in commits.items():
                    git(repository, "worktree", "add", "--detach", "--force", str(folders[name]), commit)
                yield folders
            finally:
                for folder in folders.values():
                    git(repository, "worktree", "remove", "--force", "--force", str(folder), check=False)
                git(repository, "worktree", "prune", check=False)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
