"""Official weights: found in torch's own cache of checkpoints, or downloaded into it."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.spec import Variant

BLOCK = 1 << 20


def folder() -> Path:
    """Return where torch.hub keeps checkpoints, without importing torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser() / "hub" / "checkpoints"


def fetch(variant: Variant) -> Path:
    """Return the file of a variant's official weights.

    Raises:
        UserError: none are published, they cannot be downloaded, or they are not the ones ``paper.yaml`` names.
    """
    found = variant.checkpoint
    if found is None:
        raise UserError(f"no official weights of {variant.name} are published: use --weights random or a file")
    parts = urlsplit(found.url)
    if parts.scheme != "https":
        raise UserError(f"the official weights of {variant.name} are not at an https address: {found.url}")
    target = folder() / Path(parts.path).name
    if not target.is_file():
        _download(found.url, target, variant.name)
    if found.sha256 is not None:
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != found.sha256:
                raise UserError(f"{target} is not the file that paper.yaml names (SHA-256 differs): delete it")
    return target


def _download(url: str, target: Path, name: str) -> None:
    print(f"downloading the official weights of {name} from {url}", file=sys.stderr)
    scratch = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=30) as answer, scratch.open("wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
        scratch.replace(target)
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(
            f"the official weights of {name} cannot be downloaded from {url} ({reason}): "
            "fetch them on another machine and give the file with --weights FILE"
        ) from error
    finally:
        scratch.unlink(missing_ok=True)
