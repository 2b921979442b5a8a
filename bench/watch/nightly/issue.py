"""One issue a device: opened on a regression, brought up to date as long as it lasts, closed when it is mended.

GitHub's own command ``gh`` does the talking, with the token of the workflow that calls it. A comment that nobody sees
in the issue's text tells which one is ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from claimbench.bench.core.listener import Listener
from claimbench.bench.store.night_files import Night

LONGEST = 60_000
"""GitHub takes issues of up to 65,536 characters."""

_TIMEOUT_S = 120.0


def marker(device: str) -> str:
    """Return the comment by which the issue of a device is found again."""
    return f"<!-- claimbench nightly {device} -->"


def report(night: Night, page: str, listener: Listener) -> bool:
    """Open, bring up to date or close the issue of a night's device; return whether all went well.

    A failure loses nothing of a night: its reason is told, and the next night tries again.
    """
    if shutil.which("gh") is None:
        listener.note("no issue was opened: `gh` is not installed")
        return False
    try:
        number = _open_issue(night.device)
        if not night.regressions:
            if number is not None:
                _gh("issue", "close", str(number), "--comment", f"Mended in night {night.night}: {night.summary}.")
                listener.note(f"issue {number} closed: mended")
            return True
        title = f"Regression on {night.device}: {len(night.regressions)} in night {night.night}"
        with tempfile.TemporaryDirectory() as folder:
            body = Path(folder) / "body.md"
            body.write_text(f"{marker(night.device)}\n{page[:LONGEST]}", encoding="utf-8")
            if number is None:
                url = _gh("issue", "create", "--title", title, "--body-file", str(body)).strip()
                listener.note(f"issue opened: {url}")
            else:
                _gh("issue", "edit", str(number), "--title", title, "--body-file", str(body))
                listener.note(f"issue {number} brought up to date")
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        listener.note(f"the issue could not be written ({_words(error)})")
        return False
    return True


def _open_issue(device: str) -> int | None:
    """Return the number of the open issue of a device; None if there is none."""
    listed: list[dict[str, Any]] = json.loads(
        _gh("issue", "list", "--state", "open", "--limit", "500", "--json", "number,body") or "[]"
    )
    numbers = [int(issue["number"]) for issue in listed if marker(device) in str(issue.get("body", ""))]
    return min(numbers, default=None)


def _gh(*arguments: str) -> str:
    done = subprocess.run(["gh", *arguments], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    return done.stdout


def _words(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in str(error.stderr).splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"gh ended with status {error.returncode}"
    return str(error)[:200]
