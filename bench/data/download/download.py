"""Brings a file over HTTP: resumes a part that was cut off, waits and tries again, and names an error in a sentence.

Proxies, certificates and ``.netrc`` are those of the environment, as ``httpx2`` reads them. No library is used for
the rest, as none keeps its rules: pooch begins anew whatever is there, huggingface_hub gives each process a partial
file of its own, and neither continues a part by its validator, waits as long as a server asks, refuses a log-in page
before anything is lost, or leaves room on the disk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.text import first_line
from claimbench.bench.data.download import cache, content
from claimbench.bench.data.download.part import Part, validator_of

BLOCK = 1 << 18
CONNECT_S = 10.0
UNREACHED = 3
"""Attempts at a host that does not answer at all."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be different the next time."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_ENDED = re.compile(r"bytes \*/(\d+)")


class DownloadError(Exception):
    """The file cannot be had; the message is a phrase with the reason.

    Attributes:
        unreachable: whether no answer came at all, so that other files of this host need not be tried.
    """

    def __init__(self, reason: str, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.unreachable = unreachable


class ChangedError(DownloadError):
    """Another file is published than the one that is expected; the message is a phrase with the reason."""


class AgainError(Exception):
    """An attempt failed and the next may not.

    Attributes:
        after: seconds that the server asks to wait; None if it does not say.
        reached: whether any answer came.
    """

    def __init__(self, reason: str, *, after: float | None = None, reached: bool = True) -> None:
        super().__init__(reason)
        self.after = after
        self.reached = reached


@dataclass(frozen=True)
class Patience:
    """The limits of a download's waits and attempts.

    Attributes:
        attempts: the most in a row that may bring nothing new.
        stall_s: seconds without a byte, or without an answer, after which a connection is given up.
        backoff_s: seconds before the second attempt; doubled before each further one.
        longest_s: the longest wait that a server may ask for.
    """

    attempts: int = 5
    stall_s: float = 20.0
    backoff_s: float = 1.0
    longest_s: float = 120.0

    def wait(
        self, error: AgainError, failed: int, listener: Listener, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Wait before the next attempt, after ``failed`` in a row.

        Raises:
            DownloadError: there have been enough, or the server asks for too long a wait.
        """
        if failed >= (self.attempts if error.reached else min(self.attempts, UNREACHED)):
            tried = f"{error}, {failed} times in a row" if failed > 1 else str(error)
            raise DownloadError(tried, unreachable=not error.reached) from error
        seconds = self.backoff_s * 2 ** (failed - 1) if error.after is None else error.after
        if seconds > self.longest_s:
            raise DownloadError(f"{error} and asks to come back in {seconds:.0f} s") from error
        listener.note(f"{error}: trying again in {seconds:.0f} s")
        sleep(seconds)


@dataclass
class Download:
    """One file on its way.

    Attributes:
        url: its address.
        part: takes its bytes; bytes that are there already are continued if the server allows it.
        size: its size in bytes if it is known beforehand.
        headers: to be sent with each request.
        patience: as above.
        listener: told the bytes that are here, their total, and the state of the download.
        sleep: waits; a test's own.
    """

    url: str
    part: Part
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = Patience()
    listener: Listener = SILENT
    sleep: Callable[[float], None] = time.sleep
    _total: int | None = None

    def run(self) -> None:
        """Bring the whole file into the part.

        Raises:
            DownloadError: it cannot be had; the part that came stays for the next time.
            ChangedError: another file is published there.
            UserError: the disk is full or cannot be written.
        """
        try:
            with self._client() as client:
                self._until_whole(client)
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.TooManyRedirects) as error:
            raise DownloadError(f"the address cannot be used ({first_line(error)})") from error

    def _client(self) -> httpx2.Client:
        timeout = httpx2.Timeout(self.patience.stall_s, connect=min(self.patience.stall_s, CONNECT_S))
        try:
            return httpx2.Client(timeout=timeout, follow_redirects=True, headers=dict(self.headers))
        except (ValueError, ImportError, OSError) as error:
            raise DownloadError(f"the proxy or the certificates of the environment cannot be used ({error})") from error

    def _until_whole(self, client: httpx2.Client) -> None:
        best, failed = self.part.size, 0
        while True:
            try:
                self._attempt(client)
                return
            except AgainError as error:
                failed = 0 if self.part.size > best else failed
                best = max(best, self.part.size)
                failed += 1
                self.patience.wait(error, failed, self.listener, self.sleep)

    def _attempt(self, client: httpx2.Client) -> None:
        """Ask for the missing bytes and take those that come.

        A part without a validator is continued only if this very run began it and the size of the whole is known.

        Raises:
            AgainError: it was not all; another attempt may bring the rest.
        """
        headers = {"Accept-Encoding": "identity"}
        validator = self.part.validator(self.url)
        if self.part.size and (validator or self._total is not None):
            headers["Range"] = f"bytes={self.part.size}-"
        if validator:
            headers["If-Range"] = validator
        try:
            with client.stream("GET", self.url, headers=headers) as answer:
                if self._usable(answer, validator):
                    self._take(answer, _total(answer))
        except httpx2.ConnectTimeout as error:
            raise AgainError("no connection in time", reached=False) from error
        except httpx2.TimeoutException as error:
            raise AgainError(f"the server sent nothing for {self.patience.stall_s:g} s") from error
        except httpx2.ProxyError as error:
            raise AgainError(f"the proxy refuses ({first_line(error)})", reached=False) from error
        except httpx2.ConnectError as error:
            raise AgainError(f"no connection ({first_line(error)})", reached=False) from error
        except httpx2.UnsupportedProtocol:
            raise
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise AgainError(f"the connection broke off after {cache.size_text(self.part.size)}") from error

    def _usable(self, answer: httpx2.Response, validator: str) -> bool:
        """Whether the answer brings bytes that are wanted; False if everything is here already."""
        if urlsplit(self.url).scheme == "https" and answer.url.scheme != "https":
            raise DownloadError(f"it leads to an address without encryption, {answer.url}")
        status = answer.status_code
        if status == 200:
            return True
        if status in (206, 416):
            found = (_RANGE if status == 206 else _ENDED).fullmatch(answer.headers.get("content-range", ""))
            same_version = validator_of(answer.headers) in ("", validator)
            if found and int(found[1]) == self.part.size and same_version and self._same_size(_total(answer)):
                return status == 206
            self.part.drop()
            self._total = None
            raise AgainError("the file changed while it was being downloaded", after=0)
        if status in PASSING or "retry-after" in answer.headers:
            raise AgainError(f"the server answers {_status(answer)}", after=retry_after(answer.headers))
        raise DownloadError(f"the server answers {_status(answer)}")

    def _same_size(self, total: int | None) -> bool:
        return None in (self._total, total) or self._total == total

    def _take(self, answer: httpx2.Response, total: int | None) -> None:
        """Add the body of an answer to the part.

        Raises:
            DownloadError: it is not the file.
            AgainError: it ended too early.
        """
        if total is not None and self.size is not None and total != self.size:
            raise ChangedError(f"it has {total} bytes where {self.size} are expected")
        anew = answer.status_code == 200
        blocks = _blocks(answer, content.HEAD if anew else 1)
        block = next(blocks, b"")
        if anew:
            self._begin(answer, block, total)
        elif total is not None:
            cache.check_room(self.part.path.parent, total - self.part.size)
        here = self.part.size
        with self.part.append() as write:
            while block:
                write(block)
                here += len(block)
                self.listener.at(here, total)
                block = next(blocks, b"")
        if total is not None and here != total:
            raise AgainError(f"the connection broke off after {here} of {total} bytes")

    def _begin(self, answer: httpx2.Response, head: bytes, total: int | None) -> None:
        """Begin the part anew once the body is known to be no page: a log-in page costs no bytes that are here."""
        page = content.page_problem(head)
        if page:
            raise DownloadError(f"the server answers with {page}")
        if not head and not total:
            raise DownloadError("the file there is empty")
        cache.check_room(self.part.path.parent, max((total or 0) - self.part.size, 0))
        self.part.begin(self.url, answer.headers)
        self._total = total


def _blocks(answer: httpx2.Response, first_size: int) -> Iterator[bytes]:
    """Yield the body in blocks, the first of at least ``first_size`` bytes unless the body is shorter."""
    blocks = answer.iter_bytes(BLOCK) if _encoded(answer) else answer.iter_raw()
    first = b""
    for block in blocks:
        first += block
        if len(first) >= first_size:
            break
    if first:
        yield first
    for block in blocks:
        if block:
            yield block


def _encoded(answer: httpx2.Response) -> bool:
    return answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")


def _total(answer: httpx2.Response) -> int | None:
    """Return the size of the whole file; None if the answer does not tell."""
    if answer.status_code == 206:
        found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
        return int(found[2]) if found and found[2] != "*" else None
    if _encoded(answer):
        return None
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdigit() else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a ``Retry-After`` header, which holds seconds or a date; None if there is none."""
    text = headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    with suppress(ValueError, TypeError):
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def _status(answer: httpx2.Response) -> str:
    return f"{answer.status_code} ({answer.reason_phrase or 'no reason given'})"
