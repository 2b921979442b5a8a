"""Fashion-MNIST: 60,000 training and 10,000 test pictures of 28 x 28 in ten classes (Xiao et al., arXiv 1708.07747).

Read from a folder that is given, from where Debian's package ``dataset-fashion-mnist`` puts it, or from the user's
cache, into which torchvision downloads it.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bench.errors import UserError

Part = Literal["train", "test"]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
COUNTS: dict[Part, int] = {"train": 60_000, "test": 10_000}
FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_INSIDE = (Path(), Path("raw"), Path("FashionMNIST/raw"), Path("FashionMNIST"))
_UNSIGNED_BYTES = 8


def cache() -> Path:
    """Return the folder that torchvision downloads into."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "claimbench" / "datasets"


def locate(given: Path | None, *, download: bool = True) -> Path:
    """Return the folder that holds the four files, downloading them where they are nowhere.

    Raises:
        UserError: the folder that was given does not hold them, or they cannot be downloaded.
    """
    if given is not None:
        found = _inside(given)
        if found is None:
            missing = [name for names in FILES.values() for name in names if _file(given, name) is None]
            raise UserError(
                f"{given} does not hold Fashion-MNIST (no {missing[0]} or {missing[0]}.gz): "
                "--data takes the folder of its four files"
            )
        return found
    for folder in (DEBIAN, cache()):
        found = _inside(folder)
        if found is not None:
            return found
    if download:
        _download(cache())
    found = _inside(cache())
    if found is None:
        raise UserError(_BY_HAND.format(reason="it is not on this machine", folder=cache()))
    return found


def read(folder: Path, part: Part) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 1, 28, 28) as uint8 and their labels (N,).

    Raises:
        UserError: a file is damaged, or holds something else; names the file.
    """
    images_name, labels_name = FILES[part]
    images = _idx(folder, images_name, (COUNTS[part], 28, 28))
    labels = _idx(folder, labels_name, (COUNTS[part],))
    if labels.max() > 9:
        raise UserError(f"{folder / labels_name} holds the label {labels.max()}, Fashion-MNIST has classes 0 to 9")
    return images[:, None], labels.long()


_BY_HAND = (
    "Fashion-MNIST cannot be had here ({reason}): install Debian's package dataset-fashion-mnist, or fetch its four "
    "files (train-images-idx3-ubyte.gz, ...) on another machine and name their folder with --data or put them into "
    "{folder}"
)


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(folder), download=True)
    except Exception as error:  # URLError, timeouts, wrong checksums: torchvision raises what the network gives it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(_BY_HAND.format(reason=f"the download failed: {reason}", folder=folder)) from error


def _inside(folder: Path) -> Path | None:
    """Return the folder at or below ``folder`` that holds all four files."""
    names = [name for pair in FILES.values() for name in pair]
    for inside in _INSIDE:
        if all(_file(folder / inside, name) is not None for name in names):
            return folder / inside
    return None


def _file(folder: Path, name: str) -> Path | None:
    return next((folder / n for n in (name, f"{name}.gz") if (folder / n).is_file()), None)


def _idx(folder: Path, name: str, shape: tuple[int, ...]) -> Tensor:
    """Return what an IDX file holds (yann.lecun.org/exdb/mnist: two zero bytes, type, rank, sides, data)."""
    path = _file(folder, name)
    if path is None:
        raise UserError(f"{folder / name} does not exist")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): fetch it again") from error
    start = 4 + 4 * len(shape)
    head = struct.unpack(f">HBB{len(shape)}I", data[:start]) if len(data) >= start else ()
    if head != (0, _UNSIGNED_BYTES, len(shape), *shape) or len(data) != start + int(np.prod(shape)):
        raise UserError(f"{path} is not Fashion-MNIST's: it must hold {' x '.join(map(str, shape))} bytes (IDX)")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy())
