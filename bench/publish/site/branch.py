"""A branch of a Git remote to publish to, without touching the checkout, and never by force."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.publish.site.folder import MARK


class Rejected(Exception):
    """The branch has moved on since it was fetched."""


@dataclass(frozen=True)
class Branch:
    """A branch of a remote.

    Attributes:
        repository: a folder inside the repository whose settings and credentials are used.
        remote: the remote's name or address.
        name: the branch.
    """

    repository: Path
    remote: str
    name: str

    def check(self) -> None:
        """Refuse a branch that cannot be published to.

        Raises:
            UserError: there is no Git, no repository, or the branch's name is no name.
        """
        if _run(["git", "rev-parse", "--git-dir"], self.repository).returncode:
            raise UserError(f"{self.repository} is not in a Git repository: publish from a checkout, or use --to")
        named = not self.name.startswith("-") and not self.remote.startswith("-")
        if not named or _run(["git", "check-ref-format", f"refs/heads/{self.name}"], self.repository).returncode:
            raise UserError(
                f"{self.name!r} of {self.remote!r} is no branch that Git could name: choose another --branch"
            )

    @contextmanager
    def fetched(self) -> Iterator[str]:
        """Fetch the branch and yield its commit, or an empty text if it does not exist yet.

        Raises:
            UserError: the remote cannot be reached, or the branch holds something else than a site.
        """
        listed = self._git("ls-remote", "--heads", self.remote, f"refs/heads/{self.name}")
        if not listed.strip():
            yield ""
            return
        kept = f"refs/claimbench/{secrets.token_hex(8)}"
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", self.remote)
        self._git(*fetch, f"refs/heads/{self.name}:{kept}")
        try:
            commit = self._git("rev-parse", kept).strip()
            if not self._git("ls-tree", "--name-only", commit, MARK).strip():
                raise UserError(
                    f"the branch {self.name} of {self.remote} holds something else than a leaderboard: choose another "
                    "with --branch"
                )
            yield commit
        finally:
            self._git("update-ref", "-d", kept)

    def extract(self, commit: str, folder: str, out: Path) -> None:
        """Write a folder of a commit into ``out``; nothing if the commit has no such folder."""
        if not self._git("ls-tree", commit, folder).strip():
            return
        done = _run(["git", "archive", "--format=tar", commit, folder], self.repository)
        if done.returncode:
            raise UserError(f"git archive failed: {_last(done)}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(out, filter="data")

    def commit(self, site: Path, parent: str, scratch: Path, message: str) -> tuple[str, str]:
        """Make a commit of a site on top of ``parent``, and return it with its changes; both empty if there are none.

        Other files at the top of the branch (a CNAME, a README) stay.
        """
        environment = {"GIT_INDEX_FILE": str(scratch / "index")}
        top = self._git("rev-parse", "--absolute-git-dir").strip()
        where = ["-c", "core.autocrlf=false", f"--git-dir={top}", f"--work-tree={site}"]
        done = _run(["git", *where, "add", "--all", "--force", "."], site, environment)
        if done.returncode:
            raise UserError(f"git add failed: {_last(done)}")
        own = {path.name for path in site.iterdir()}
        for line in self._git("ls-tree", "-z", parent).split("\0") if parent else ():
            facts, _, name = line.partition("\t")
            if name and name not in own and name not in _FORMERLY:
                mode, kind, digest = facts.split()
                if kind == "tree":
                    self._git("read-tree", f"--prefix={name}/", digest, environment=environment)
                else:
                    self._git(
                        "update-index", "--add", "--cacheinfo", f"{mode},{digest},{name}", environment=environment
                    )
        tree = self._git("write-tree", environment=environment).strip()
        if parent and tree == self._git("rev-parse", f"{parent}^{{tree}}").strip():
            return "", ""
        before = parent or self._git("hash-object", "-t", "tree", "-w", os.devnull).strip()
        changes = self._git("diff-tree", "--shortstat", before, tree).strip()
        on_top = ("-p", parent) if parent else ()
        made = self._git("commit-tree", tree, *on_top, "-m", message, environment=self._identity())
        return made.strip(), changes

    def push(self, commit: str) -> None:
        """Push a commit; never by force.

        Raises:
            Rejected: somebody else was faster.
            UserError: the remote refuses it for another reason.
        """
        target = f"{commit}:refs/heads/{self.name}"
        done = _run(["git", "push", "--porcelain", self.remote, target], self.repository)
        if not done.returncode:
            return
        said = (done.stdout + done.stderr).decode(errors="replace")
        if any(sign in said for sign in _RACES):
            raise Rejected
        raise UserError(f"{self.remote} does not take the branch {self.name}: {_last(done)}")

    def _identity(self) -> dict[str, str]:
        """Return a name and address to commit with if neither the settings nor the environment give them."""
        known = not _run(["git", "var", "GIT_COMMITTER_IDENT"], self.repository).returncode
        roles = () if known else ("AUTHOR", "COMMITTER")
        return {f"GIT_{role}_{key}": value for role in roles for key, value in _NOBODY.items()}

    def _git(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = _run(["git", *arguments], self.repository, environment)
        if done.returncode:
            raise UserError(f"git {arguments[0]} failed: {_last(done)}")
        return done.stdout.decode(errors="replace")


_NOBODY = {"NAME": "claimbench", "EMAIL": "claimbench@localhost"}
_FORMERLY = frozenset(("assets", "badges", "data", "papers", "machines", "operators", "results"))
"""Folders that sites have or had: one that a new site lacks is removed from the branch."""

_RACES = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value",
)
"""Messages of Git about a branch that has moved."""


def _run(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    settings = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(environment or {})}
    try:
        return subprocess.run(command, cwd=folder, env=settings, capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise UserError("Git is not installed: install it, or publish to a folder with --to") from error


def _last(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (fatal or lines or [f"exit status {done.returncode}"])[0]
