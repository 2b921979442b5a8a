"""Data sets that torchvision reads from its own files, or that come with an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures.collection import Arrays, Pictures
from claimbench.bench.data.pictures.labelled import PictureSet

CLASSES = {"digits": tuple("0123456789"), "elpv": ("0", "1/3", "2/3", "1")}
"""The names of the classes of the data sets that come with a package."""


def open_packaged(dataset: PictureSet, data: Path | None) -> Pictures:
    """Return the test pictures of a data set that is not a folder of classes.

    Raises:
        UserError: its files or its package are not there, or are damaged.
    """
    if data is None:
        from claimbench.bench.data.small import sets

        whole = sets.PACKAGED[dataset.name]()
        images, labels, classes = whole.images[:, 0].numpy(), whole.classes.tolist(), CLASSES[dataset.name]
    else:
        images, labels, classes = (_fashion_mnist if dataset.name == "fashion-mnist" else _cifar)(dataset, data)
    return Pictures(
        names=[f"{number:05d}" for number in range(len(labels))],
        labels=[(int(label),) for label in labels],
        classes=list(classes),
        source=Arrays(images),
        place=dataset.title if data is None else str(data),
        expected=dataset.images,
    )


def _cifar(dataset: PictureSet, data: Path) -> tuple[Any, Any, tuple[str, ...]]:
    from torchvision.datasets import CIFAR10, CIFAR100

    kind = CIFAR10 if dataset.name == "cifar10" else CIFAR100
    root = data.parent if data.name == kind.base_folder else data
    folder = root / kind.base_folder
    wanted = [*kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    absent = [name for name, _ in wanted if not (folder / name).is_file()]
    if absent:
        raise UserError(f"{folder} does not hold {dataset.title}: {' and '.join(absent)} missing; give {dataset.needs}")
    damaged = [name for name, md5 in wanted if not _has_md5(folder / name, md5)]
    if damaged:
        raise UserError(
            f"{' and '.join(damaged)} in {folder} differ from the published files (MD5): fetch {dataset.title} again"
        )
    # torchvision checks the training batches too, which are not needed here.
    kind = type(kind.__name__, (kind,), {"train_list": [], "_check_integrity": lambda self: True})
    found = kind(str(root), train=False)
    return found.data, found.targets, tuple(found.classes)


def _has_md5(path: Path, md5: str) -> bool:
    from torchvision.datasets.utils import check_integrity

    try:
        return bool(check_integrity(str(path), md5))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def _fashion_mnist(dataset: PictureSet, data: Path) -> tuple[Any, Any, tuple[str, ...]]:
    from torchvision.datasets import FashionMNIST

    from claimbench.bench.data.small import fashion_mnist

    folder = fashion_mnist.inside(data, "test")
    if folder is None:
        raise UserError(f"{data} does not hold {dataset.title}: give {dataset.needs}")
    images, labels = fashion_mnist.read(folder, "test")
    return images[:, 0].numpy(), labels.tolist(), tuple(FashionMNIST.classes)
