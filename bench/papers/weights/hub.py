"""Files on the Hugging Face hub: the commit that a revision stands for, and the digest and size that the hub states.

``huggingface_hub`` knows the hub's addresses, mirrors (``HF_ENDPOINT``) and the user's token, and gives the reason if a
file cannot be had. The bytes come through :mod:`claimbench.bench.data.download.download` like all others: the library
keeps a partial file for one process only, so that a download that was cut off would begin anew.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.text import first_line
from claimbench.bench.data.download.download import PASSING, AgainError, DownloadError, Patience, retry_after

if TYPE_CHECKING:
    from claimbench.bench.papers.weights.sources import WeightsSource

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TRUE = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True)
class HubFile:
    """One version of a file on the hub.

    Attributes:
        url: its address at this commit.
        headers: to be sent to get it, the user's token among them.
        commit: the commit that the revision stands for.
        sha256: as the hub states it; empty for small files, of which it does not.
        size: in bytes; None if the hub does not say.
    """

    url: str
    headers: dict[str, str]
    commit: str
    sha256: str
    size: int | None


def offline() -> bool:
    """Whether the environment forbids the network, by the hub's own variable ``HF_HUB_OFFLINE``."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def resolve(source: WeightsSource, revision: str, patience: Patience, listener: Listener) -> HubFile:
    """Ask the hub for the commit of ``revision`` and for the facts of the file there.

    Raises:
        DownloadError: there is no such file, it is not open to everyone, or the hub cannot be reached.
    """
    failed = 0
    while True:
        try:
            return _ask(source, revision, patience.stall_s)
        except AgainError as error:
            failed += 1
            patience.wait(error, failed, listener)


def _ask(source: WeightsSource, revision: str, timeout_s: float) -> HubFile:
    import huggingface_hub as hf
    from huggingface_hub import errors
    from huggingface_hub.utils import build_hf_headers

    repository, path = source.repository, source.path
    try:
        found = hf.get_hf_file_metadata(hf.hf_hub_url(repository, path, revision=revision), timeout=timeout_s)
    except errors.GatedRepoError as error:
        raise DownloadError("its authors ask to accept terms first, in a browser; then `hf auth login`") from error
    except errors.RepositoryNotFoundError as error:
        raise DownloadError(f"there is no repository {repository} on the hub that is open to you") from error
    except errors.RevisionNotFoundError as error:
        raise DownloadError(f"{repository} has no revision {revision}") from error
    except errors.EntryNotFoundError as error:
        raise DownloadError(f"{repository} has no file {path}") from error
    except errors.HfHubHTTPError as error:
        status, headers = error.response.status_code, error.response.headers
        if status in PASSING:
            raise AgainError(f"the hub answers {status}", after=retry_after(headers)) from error
        raise DownloadError(f"the hub answers {first_line(error)}") from error
    except errors.HFValidationError as error:
        raise DownloadError(first_line(error)) from error
    except Exception as error:  # whichever HTTP library the hub's client is built on raises its own
        raise AgainError(f"the hub cannot be reached ({first_line(error)})", reached=False) from error
    commit, etag = found.commit_hash or revision, found.etag or ""
    return HubFile(
        url=hf.hf_hub_url(repository, path, revision=commit),
        headers={name: value for name, value in build_hf_headers().items() if value},
        commit=commit,
        sha256=etag if _SHA256.fullmatch(etag) else "",
        size=found.size,
    )
