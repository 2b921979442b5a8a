"""Runs jobs in a process of their own and survives its failures: a crash, a kill, no answer, Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, TextIO

from claimbench.bench.core import files
from claimbench.bench.core.errors import DEBUG
from claimbench.bench.core.listener import SILENT, Listener

_FOREVER_S = 1e7
_CALL_S = 1.0
_TELL_S = 0.5
_PROGRESS = b'{"progress":'
"""The beginning of a line that tells progress and is no answer."""


class Interrupted(Exception):
    """Raised if the user (Ctrl-C) or the system (SIGTERM, SIGHUP) asked to stop; the job in flight is lost."""


class Stop:
    """Turns signals that ask to stop into a flag: nothing is cut off half written. A second Ctrl-C ends at once.

    Attributes:
        requested: whether such a signal has come.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.requested = False
        self._receiver, self._sender = socket.socketpair()
        self._before: dict[signal.Signals, Any] = {}
        self._fd_before = -1

    def __enter__(self) -> Stop:
        self._sender.setblocking(False)
        self._fd_before = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        _ENTERED.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _ENTERED.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._receiver.close()
        self._sender.close()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a signal comes."""
        return self._receiver.fileno()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            os._exit(130)
        self.requested = True


_ENTERED: list[Stop] = []
"""Those whose blocks are running, the innermost last."""


class Process:
    """One process that was given something to do: the name of its module, and JSON on its stdin."""

    def __init__(self, module: str, task: Any) -> None:
        self._receiver, sender = os.pipe()
        self._buffer = b""
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        command = [sys.executable, "-P", "-m", module, "--out-fd", str(sender), "--parent", str(os.getpid())]
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get(DEBUG) == "1" else self._stderr,
            pass_fds=(sender,),
            env=_environment(),
            start_new_session=True,
        )
        os.close(sender)
        with suppress(OSError):  # if memory runs out, the system is to kill the worker and not the runner
            Path(f"/proc/{self._popen.pid}/oom_score_adj").write_text("1000")
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.write(json.dumps(task, default=str).encode())
            self._popen.stdin.close()

    def line(
        self,
        timeout: float,
        stop: Stop | None,
        waiting: Callable[[], None] | None = None,
        listener: Listener = SILENT,
    ) -> bytes | None:
        """Return the next line of the answer, or None if the process ends without one.

        Args:
            timeout: seconds that it may take.
            stop: watched while waiting.
            waiting: called every second while waiting.
            listener: told the progress that the process tells its :class:`Teller`.

        Raises:
            TimeoutError: it did not come in time.
            Interrupted: a signal asked to stop.
        """
        deadline = time.monotonic() + timeout
        while (line := self._next_line(deadline, stop, waiting)) is not None and line.startswith(_PROGRESS):
            listener.at(*_decoded(line)["progress"])
        return line

    def _next_line(self, deadline: float, stop: Stop | None, waiting: Callable[[], None] | None) -> bytes | None:
        watched: list[Any] = [self._receiver, *([stop] if stop else [])]
        while b"\n" not in self._buffer:
            if stop and stop.requested:
                raise Interrupted
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready, _, _ = select.select(watched, [], [], left if waiting is None else min(left, _CALL_S))
            if waiting is not None and not ready:
                waiting()
            if self._receiver in ready:
                data = os.read(self._receiver, 1 << 16)
                if not data:
                    return None
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def end(self) -> str:
        """Wait for a process that has closed its answer, and return a sentence on its end."""
        try:
            status = self._popen.wait(10)
        except subprocess.TimeoutExpired:
            return "the process stopped answering"
        return _ending(status, self._last_words())

    def close(self) -> None:
        """End the process and everything that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        os.close(self._receiver)
        self._stderr.close()

    def _last_words(self) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 4096))
        lines = [line.strip() for line in self._stderr.read().decode(errors="replace").splitlines()]
        return next((line[:200] for line in reversed(lines) if line), "")


def ask(module: str, task: Any, timeout: float, stop: Stop | None = None) -> Any:
    """Return the one answer of a process that runs ``module``.

    If no ``stop`` is given, the innermost one whose block is running is watched.

    Raises:
        RuntimeError: there is none, or it is not JSON; one sentence gives the reason.
        Interrupted: a signal asked to stop; the process is gone.
    """
    process = Process(module, task)
    try:
        line = process.line(timeout, stop or (_ENTERED[-1] if _ENTERED else None))
        if line is None:
            raise RuntimeError(process.end())
        return _decoded(line)
    except TimeoutError as error:
        raise RuntimeError(f"not done after {timeout:g} s") from error
    finally:
        process.close()


def stream(module: str, task: Any, stop: Stop | None = None) -> Iterator[Any]:
    """Yield the answers of a process that runs ``module``, as they come; it may take as long as it likes.

    The process ends when the caller stops listening. May be called from a thread, which must outlive the process.

    Raises:
        RuntimeError: the process ended and the caller still listens, or an answer is not JSON; one sentence.
        Interrupted: a signal asked to stop; the process is gone.
    """
    process = Process(module, task)
    try:
        while (line := process.line(_FOREVER_S, stop)) is not None:
            yield _decoded(line)
        raise RuntimeError(process.end())
    finally:
        process.close()


def _decoded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise RuntimeError(f"the process gave a wrong answer: {error}") from error


def _ending(status: int, last_words: str) -> str:
    said = f": {last_words}" if last_words else ""
    if status >= 0:
        return f"the process ended with exit status {status}{said}"
    name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
    if name == "SIGKILL":
        return "the process was killed (SIGKILL), most likely because the machine ran out of memory"
    if name == "SIGSEGV":
        return f"the process crashed (SIGSEGV, a bad memory access){said}"
    return f"the process crashed ({name}){said}"


def _environment() -> dict[str, str]:
    """Return the worker's environment: in a checkout that is not installed, it must find this package too."""
    root = files.checkout()
    if root is None:
        return dict(os.environ)
    paths = [str(root), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


class Interruptible(Listener):
    """A listener that ends its work if a signal asks to stop; it passes all progress on to another listener.

    Args:
        stop: has ``requested``.
        listener: the other one.
    """

    def __init__(self, stop: Any, listener: Listener = SILENT) -> None:
        self._stop, self._listener = stop, listener

    def begin(self, *given: Any, **more: Any) -> Listener:
        """Let the other listener begin."""
        return Interruptible(self._stop, self._listener.begin(*given, **more))

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        """Tell the other listener.

        Raises:
            Interrupted: a signal asked to stop.
        """
        if self._stop.requested:
            raise Interrupted
        self._listener.at(done, total, what)

    def expect(self, seconds: float) -> None:
        """Tell the other listener."""
        self._listener.expect(seconds)

    def say(self, result: str) -> None:
        """Tell the other listener."""
        self._listener.say(result)

    def note(self, remark: str) -> None:
        """Tell the other listener."""
        self._listener.note(remark)

    def failed(self, reason: str) -> None:
        """Tell the other listener."""
        self._listener.failed(reason)

    def end(self) -> None:
        """Tell the other listener."""
        self._listener.end()


class Teller(Listener):
    """Tells the process that started this one of the progress of work: each stage as it begins (with nothing done),
    and then twice a second at most.

    Args:
        file: the answer, from :func:`open_answer`.
    """

    def __init__(self, file: TextIO) -> None:
        self._file, self._told = file, 0.0

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        """Write a line of progress."""
        now = time.monotonic()
        if not done or now - self._told >= _TELL_S:
            self._told = now
            self._file.write(json.dumps({"progress": [done, total, what]}) + "\n")
            self._file.flush()


def open_answer(argv: list[str] | None) -> TextIO:
    """Return the file that a process started by the runner answers on; from then on stdout is stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out-fd", type=int, required=True, help="file descriptor that the result is written to")
    parser.add_argument("--parent", type=int, help="process id of the runner: without it there is nobody to work for")
    arguments = parser.parse_args(argv)
    if arguments.parent is not None:
        die_with(arguments.parent)
    out = os.dup(arguments.out_fd)
    if arguments.out_fd == 1:
        os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(out, "w", encoding="utf-8")


def die_with(parent: int) -> None:
    """End this process when ``parent`` dies in whatever way, so that no worker goes on unwatched (Linux only)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)
