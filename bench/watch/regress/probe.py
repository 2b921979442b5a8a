"""Measures one commit: runs a command in its checkout and reads what it gives, as records.

A command may store records (``bench run`` does, in the folder that BENCH_RESULTS names), or print figures as one JSON
object on its last line, such as ``{"flops": 12, "latency": 0.02}``; otherwise the time that it takes is the figure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Job, Measurement, Settings
from claimbench.bench.measure import ROWS
from claimbench.bench.report import metrics
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.store import Store
from claimbench.bench.watch.regress.sides import RecordSet

SUBJECT = "the command"

_UNITS = {row: unit for rows in ROWS.values() for row, unit in rows}

_OWN_CODE = '''"""Has the checkout's own packages found, and not those of an editable installation of another one."""
import sys
def is_editable(finder):
    module = type(finder).__module__  # _claimbench_editable, or _editable_skbc_claimbench
    return "editable" in module and "claimbench" in module
sys.meta_path[:] = [finder for finder in sys.meta_path if not is_editable(finder)]
'''


class Unmeasurable(Exception):
    """A commit that cannot be built or run; the message says why in one phrase."""


@dataclass
class Probe:
    """One commit in its checkout.

    Attributes:
        commit: its hash.
        checkout: the folder.
        scratch: a folder for the measurements.
        command: run in the checkout; a leading ``bench`` is the checkout's own.
        timeout: seconds that one run of it may take.
    """

    commit: str
    checkout: Path
    scratch: Path
    command: Sequence[str]
    timeout: float
    _figures: list[StoredRecord] = field(default_factory=list)
    _rounds: int = 0
    _session: int = 0

    def forget(self) -> None:
        """Start anew: earlier measurements count no more, since the machine may have changed since."""
        self._figures.clear()
        self._rounds, self._session = 0, self._session + 1

    def build(self, command: str) -> None:
        """Run a shell command in the checkout that makes it ready.

        Raises:
            Unmeasurable: it fails.
        """
        if command:
            self._run(["/bin/sh", "-c", command], "the build")

    def measure(self) -> None:
        """Run the command once and keep its figures.

        Raises:
            Unmeasurable: it fails, or takes too long.
            UserError: it prints a figure that is not known.
        """
        command = list(self.command)
        if command[0] == "bench":
            command[:1] = [sys.executable, "-m", _program(self.checkout)]
        before = len(self._stored())
        start = time.perf_counter()
        printed = self._run(command, "the command")
        seconds = time.perf_counter() - start
        if len(self._stored()) == before:
            for row, value in (_figures(printed) or {"latency": seconds}).items():
                self._keep(row, value)
        self._rounds += 1

    def source(self) -> RecordSet:
        """Return everything measured since :meth:`forget`."""
        store = Store(self._results)
        stored = [replace(record, commit=self.commit) for record in store.query()]
        name = self.commit[:10]
        return RecordSet(name, [*stored, *self._figures], store.samples, store.environment, tuple(store.problems))

    @property
    def _results(self) -> Path:
        return self.scratch / f"{self.commit}-{self._session}"

    def _stored(self) -> list[str]:
        return Store(self._results).runs()

    def _keep(self, row: str, value: float) -> None:
        measurement = Measurement(row, value, _UNITS[row], "given by the command")
        job = Job("", SUBJECT, "", row, Settings(), self._rounds)
        self._figures.append(
            StoredRecord(f"probe-{self.commit[:10]}", job, measurement, "", self.commit, f"{self._rounds:09}", key="")
        )

    def _run(self, command: Sequence[str], what: str) -> str:
        """Return the output of a command."""
        try:
            process = subprocess.Popen(
                command,
                cwd=self.checkout,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unmeasurable(f"{what} cannot be started ({error.strerror}: {command[0]})") from error
        try:
            out, err = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired as error:
            raise Unmeasurable(f"{what} was not done after {self.timeout:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            lines = [line.strip() for line in err.decode(errors="replace").splitlines() if line.strip()]
            raise Unmeasurable(f"{what} ended with status {process.returncode}: {(lines or ['no message'])[-1][:200]}")
        return out.decode(errors="replace")

    def _environment(self) -> dict[str, str]:
        """Return the environment in which the checkout's own code is found first."""
        own = self.scratch / "own_code"
        if not own.is_dir():
            own.mkdir(parents=True)
            (own / "sitecustomize.py").write_text(_OWN_CODE, encoding="utf-8")
        paths = [str(own), str(self.checkout), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_RESULTS": str(self._results),
        }


def _figures(printed: str) -> dict[str, float] | None:
    """Return the figures in the last line of what a command printed; None if it is no JSON object.

    Raises:
        UserError: one of them is not known, or not a positive number.
    """
    lines = [line for line in printed.splitlines() if line.strip()]
    try:
        found: Any = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    for row, value in found.items():
        if row not in _UNITS or row not in metrics.ROWS:
            raise unknown("figure printed by the command", row, _UNITS)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
            raise UserError(f"the command printed {value!r} for {row}, which is no figure")
    return found


def _program(checkout: Path) -> str:
    """Return the module of a checkout's program; commits before the one import name have it at the top."""
    return "claimbench.bench" if (checkout / "claimbench").is_dir() else "bench"
