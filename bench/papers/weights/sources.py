"""The place where a variant's official weights are published, and the name of their file here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Checkpoint

Kind = Literal["http", "hub", "hand"]

HUB_HOSTS = ("huggingface.co", "hf.co")
BY_HAND = ("drive.google.com", "docs.google.com", "pan.baidu.com", "yun.baidu.com", "onedrive.live.com", "1drv.ms")
"""Hosts that hand a file to a person in a browser only: behind a log-in, a captcha or a page of scripts."""

_ENDINGS = (".pth.tar", ".tar.gz", ".tgz", ".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
_HUB_URI = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^/\s]+))?/(?P<path>\S+)")
_HUB_PATH = re.compile(r"/(?P<repository>[\w.-]+/[\w.-]+)/(?:resolve|blob)/(?P<revision>[^/]+)/(?P<path>.+)")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.\w")


@dataclass(frozen=True)
class WeightsSource:
    """The place where a file is published.

    Attributes:
        kind: ``http`` (fetched from ``url``), ``hub`` (from the Hugging Face hub) or ``hand`` (by a person only).
        url: the address as ``paper.yaml`` has it.
        ending: of the file's name, with its dot.
        repository, revision, path: on the hub; else empty.
        digest_begins: the hexadecimal digits with which the file's SHA-256 begins according to its name, as
            ``torch.hub`` names files; empty if the name holds none.
        note: for a reader, from ``paper.yaml``.
    """

    kind: Kind
    url: str
    ending: str
    repository: str = ""
    revision: str = ""
    path: str = ""
    digest_begins: str = ""
    note: str = ""

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        if self.kind != "hub":
            return self.url
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.path}"


def source_of(checkpoint: Checkpoint) -> WeightsSource:
    """Return the place of a checkpoint of ``paper.yaml``."""
    url, note = checkpoint.url, checkpoint.note
    parts = urlsplit(url)
    host = parts.hostname or ""
    hub = _HUB_URI.fullmatch(url)
    if hub is None and host in HUB_HOSTS:
        hub = _HUB_PATH.fullmatch(unquote(parts.path))
        if hub is None:  # a repository, not a file in it
            return WeightsSource("hand", url, ".pth", note=note)
    if hub is not None:
        path = hub["path"]
        revision = hub["revision"] or "main"
        return WeightsSource("hub", url, _ending(path), hub["repository"], revision, path, _digest_begins(path), note)
    if host in BY_HAND or host.endswith(".sharepoint.com"):
        return WeightsSource("hand", url, ".pth", note=note)
    name = unquote(parts.path)
    return WeightsSource("http", url, _ending(name), digest_begins=_digest_begins(name), note=note)


def _ending(name: str) -> str:
    return next((ending for ending in _ENDINGS if name.lower().endswith(ending)), ".pth")


def _digest_begins(path: str) -> str:
    """Return the digits in a name such as ``deit_small_patch16_224-cd65a155.pth``."""
    found = _HASH_IN_NAME.search(path.rpartition("/")[2])
    return found[1] if found else ""
