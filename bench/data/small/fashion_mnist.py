"""Fashion-MNIST: 60,000 training and 10,000 test pictures of 28 x 28 in ten classes (Xiao et al., arXiv 1708.07747).

Read from a folder that is given, from the folder of Debian's package ``dataset-fashion-mnist``, or from the user's
cache, into which torchvision downloads it.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Literal

from platformdirs import user_cache_path
from torch import Tensor

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.files import digest
from claimbench.bench.core.text import first_line

Part = Literal["train", "test"]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES: dict[Part, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""The digests of the published files, unpacked: MNIST's and KMNIST's have the same names and sizes."""

_INSIDE = (Path(), Path("raw"), Path("FashionMNIST/raw"), Path("FashionMNIST"), Path("fashion-mnist"))


def cache() -> Path:
    """Return the folder that torchvision downloads into."""
    return user_cache_path("claimbench") / "datasets"


def locate(given: Path | None, *, download: bool = True) -> Path:
    """Return the folder that holds the four files; download them if they are nowhere.

    Raises:
        UserError: the folder that was given does not hold them, or they cannot be downloaded.
    """
    if given is not None:
        found = inside(given)
        if found is None:
            missing = [name for names in FILES.values() for name in names if _file(given, name) is None]
            raise UserError(
                f"{given} does not hold Fashion-MNIST (no {missing[0]} or {missing[0]}.gz): "
                "--data takes the folder of its four files"
            )
        return found
    for folder in (DEBIAN, cache()):
        found = inside(folder)
        if found is not None:
            return found
    if download:
        _download(cache())
    found = inside(cache())
    if found is None:
        raise UserError(_BY_HAND.format(reason="it is not on this machine", folder=cache()))
    return found


def read(folder: Path, part: Part) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 1, 28, 28) as uint8 and their labels (N,).

    Raises:
        UserError: a file is damaged, or holds something else; names the file.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    with TemporaryDirectory() as unpacked:
        images, labels = (_verified(folder, name, Path(unpacked)) for name in FILES[part])
        return read_image_file(str(images))[:, None], read_label_file(str(labels))


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
        reason = f"the download failed: {first_line(error)}"
        raise UserError(_BY_HAND.format(reason=reason, folder=folder)) from error


def inside(folder: Path, *parts: Part) -> Path | None:
    """Return the folder at or below ``folder`` that holds the files of some parts, of both if none is named."""
    names = [name for part in parts or FILES for name in FILES[part]]
    for place in _INSIDE:
        if all(_file(folder / place, name) is not None for name in names):
            return folder / place
    return None


def _file(folder: Path, name: str) -> Path | None:
    return next((folder / n for n in (name, f"{name}.gz") if (folder / n).is_file()), None)


def _verified(folder: Path, name: str, unpacked: Path) -> Path:
    """Return one of the published files, unpacked into ``unpacked`` if it is compressed.

    torchvision's reader opens no compressed file, and takes any of the same form for Fashion-MNIST's.
    """
    path = _file(folder, name)
    if path is None:
        raise UserError(f"{folder / name} does not exist")
    file = path
    try:
        if path.suffix == ".gz":
            file = unpacked / name
            with gzip.open(path) as packed, file.open("wb") as target:
                copyfileobj(packed, target)
        found = digest(file)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged or cannot be unpacked ({error}): fetch it again") from error
    if found != SHA256[name]:
        raise UserError(
            f"{path} is not Fashion-MNIST's: its content is another (SHA-256), as that of MNIST or of a damaged file is"
        )
    return file
