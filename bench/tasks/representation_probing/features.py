"""Tokens of all pictures of a data set, computed once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.data.small.sets import PictureTensors
from claimbench.bench.tasks.representation_probing import data, encoder
from claimbench.bench.tasks.representation_probing.catalogue import ProbedSet

VARIABLE = "BENCH_FEATURES"
"""The environment variable that names another folder for the cache."""

AT_ONCE = 4
"""Pictures that go through the encoder together: the maps of more leave the caches of a CPU."""

PIECE = 128
"""The number of pictures whose tokens are written at once: an interrupt costs no more."""


@dataclass(frozen=True)
class Features:
    """The tokens (n, N, D) of some pictures, float16, and their labels (n,)."""

    tokens: Tensor
    labels: Tensor


def folder() -> Path:
    """Return the folder of the cache."""
    from platformdirs import user_cache_path

    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else user_cache_path("claimbench") / "features"


def load(dataset: ProbedSet, given: str, listener: Listener = SILENT) -> tuple[dict[str, Features], str]:
    """Return the features of each part of a data set, and the digest of the encoder's weights.

    Tokens are rounded to float16 whether or not they come out of the cache. The listener is told of how many pictures
    they are there.

    Raises:
        UnavailableError: the data set or the encoder's package is not here.
        UserError: the data or the weights are not the expected ones, or the cache cannot be written.
    """
    weights = encoder.weights_file()
    parts = data.find(dataset, given)
    side, sha256 = dataset.side, digest(weights)
    file = folder() / f"{dataset.name}-{_key(parts, side, sha256)}.safetensors"
    tokens = _kept(file, parts)
    if tokens is None:
        tokens = _computed(encoder.load(weights), parts, side, file, listener)
    return {part: Features(tokens[part], found.labels) for part, found in parts.items()}, sha256


def digest_of(parts: dict[str, Features]) -> str:
    """Return a digest of the tokens and labels of all parts."""
    found = hashlib.sha256()
    for part, each in sorted(parts.items()):
        found.update(part.encode())
        for tensor in (each.tokens, each.labels):
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _key(parts: dict[str, PictureTensors], side: int, weights: str) -> str:
    """Return a digest of all that tokens depend on."""
    found = hashlib.sha256(f"{side} {encoder.STAGES} {weights} {version('torch')} {version('timm')}".encode())
    for part, each in sorted(parts.items()):
        found.update(part.encode())
        found.update(each.images.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _computed(
    model: encoder.Encoder, parts: dict[str, PictureTensors], side: int, file: Path, listener: Listener
) -> dict[str, Tensor]:
    """Return the tokens of all parts and put them into ``file``; until it is there each piece has a file of its own."""
    pieces: list[Path] = []
    found: dict[str, list[Tensor]] = {part: [] for part in parts}
    done, total = 0, sum(len(each) for each in parts.values())
    for part, whole in parts.items():
        for images, labels in zip(whole.images.split(PIECE), whole.labels.split(PIECE), strict=True):
            pieces.append(file.with_name(f"{file.stem}.{len(pieces)}.safetensors"))
            kept = _kept(pieces[-1], {part: PictureTensors(images, labels)})
            if kept is None:
                kept = {part: _extract(model, images, side)}
                _keep(pieces[-1], kept)
            found[part].append(kept[part])
            done += len(images)
            listener.at(done, total)
    tokens = {part: torch.cat(each) for part, each in found.items()}
    _keep(file, tokens)
    for piece in pieces:
        piece.unlink(missing_ok=True)
    return tokens


def _extract(model: encoder.Encoder, images: Tensor, side: int) -> Tensor:
    pieces = []
    for piece in images.split(AT_ONCE):
        resized = F.interpolate(piece.float(), (side, side), mode="bicubic", antialias=True).clamp_(0, 255)
        pieces.append(model(resized).half())
    return torch.cat(pieces)


def _kept(file: Path, parts: dict[str, PictureTensors]) -> dict[str, Tensor] | None:
    """Return the content of the cache; None if it holds nothing that fits."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        return None
    try:
        found = load_file(file)
    except (OSError, SafetensorError):
        return None
    counts = {part: len(tokens) for part, tokens in found.items()} == {part: len(each) for part, each in parts.items()}
    return found if counts and _are_tokens(list(found.values())) else None


def _are_tokens(found: list[Tensor]) -> bool:
    """Whether tensors have the form that :func:`_extract` gives: (n, N, D) in float16, finite, with one N for all."""
    shapes = {tokens.shape[1:] for tokens in found}
    plain = all(tokens.dim() == 3 and tokens.dtype == torch.float16 for tokens in found)
    return plain and len(shapes) == 1 and all(bool(tokens.isfinite().all()) for tokens in found)


def _keep(file: Path, tokens: dict[str, Tensor]) -> None:
    """Write a file of the cache whole or not at all."""
    from safetensors.torch import save_file

    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tokens, part)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{file.parent} cannot be written ({reason}): name another folder with {VARIABLE}") from error
