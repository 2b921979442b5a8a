"""The pictures of a run: found and checked, in a random order of known seed, cut into the passes of each device."""

from __future__ import annotations

import hashlib
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from claimbench.bench.core.errors import UserError
from claimbench.bench.training.seeding import PICTURE, drawing_for

TRAIN, VALIDATE = ("train", "training"), ("val", "validation")
"""The sub-folders that are looked for."""

Key = tuple[int, int, int]
"""One draw of a picture: the epoch, the place in it, and the picture's number in the data set."""


class Labelled(Protocol):
    """A data set of pictures with their classes, as torchvision has them."""

    classes: Sequence[str]
    transform: Any

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> tuple[Any, int]: ...


@dataclass(frozen=True)
class TrainingPictures:
    """The pictures to train on and to validate with, without transforms, and their number of classes."""

    train: Labelled
    validate: Labelled
    classes: int

    @property
    def synsets(self) -> bool:
        """Whether the classes are named by WordNet ids, as ImageNet's are."""
        return all(re.fullmatch(r"n\d{8}", name) for name in self.train.classes)

    def describe(self) -> str:
        """Return the number of pictures and a digest of their names, which tells one data set from another."""
        names = hashlib.sha256()
        for part in (self.train, self.validate):
            names.update(repr(part.classes).encode(errors="surrogateescape"))
            root = len(str(getattr(part, "root", "")))
            for path, _ in getattr(part, "samples", ()):
                names.update(f"{path[root:]}\n".encode(errors="surrogateescape"))
        return f"{len(self.train):,} and {len(self.validate):,} pictures ({names.hexdigest()[:12]})"


def open_pictures(root: Path, dataset: str = "") -> TrainingPictures:
    """Return the pictures of a folder with ``train`` and ``val`` in it, or of a data set that timm knows by name.

    Args:
        root: the folder.
        dataset: for example ``torch/cifar100``, kept in ``root``; empty for folders of pictures, one a class.

    Raises:
        UserError: there is no such folder, a class is empty, or the two parts have different classes.
    """
    if not root.is_dir():
        raise UserError(f"data folder {root} {'is no folder' if root.exists() else 'does not exist'}")
    train, validate = (_open_part(root, dataset, names) for names in (TRAIN, VALIDATE))
    for part, other, where in ((train, validate, VALIDATE[0]), (validate, train, TRAIN[0])):
        if missing := sorted(set(part.classes) - set(other.classes)):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(f"data folder {root}: {where} lacks the class {missing[0]}{more}, which the other part has")
    if len(train.classes) < 2:
        raise UserError(f"data folder {root} holds one class only ({train.classes[0]}): there is nothing to learn")
    return TrainingPictures(train, validate, len(train.classes))


def _open_part(root: Path, dataset: str, names: tuple[str, ...]) -> Labelled:
    """Return one part, without a transform."""
    if dataset:
        from timm.data import create_dataset

        from claimbench.bench.data.pictures.picture_reader import load

        try:
            part = create_dataset(dataset, root=str(root), split=names[-1], is_training=names == TRAIN)
            part.classes  # noqa: B018 - whether there are any
        except (RuntimeError, ValueError, AssertionError, OSError, AttributeError, ImportError) as error:
            sentence = (str(error).splitlines() or ["it has no classes"])[0]
            raise UserError(f"data set {dataset} cannot be opened in {root} ({sentence})") from error
        part.transform = None
        if hasattr(part, "loader"):  # torchvision's own cuts 16 bits to 8 and forgets transparency
            part.loader = load
        return part
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(
            f"data folder {root} has no folder {names[0]!r}: it needs train and val, one sub-folder a class"
        )
    try:
        return _folder(folder)
    except FileNotFoundError as error:
        raise UserError(f"data folder {folder}: {_empty(str(error))}") from error


def _folder(folder: Path) -> Labelled:
    """Return the pictures of a folder as evaluation sees them: classes in natural order, hidden files passed over."""
    from torchvision.datasets import ImageFolder

    from claimbench.bench.data.pictures.picture_reader import load
    from claimbench.bench.data.pictures.scan import is_hidden, is_picture, natural

    class Folder(ImageFolder):
        def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
            found = super().find_classes(directory)[0]
            classes = sorted((name for name in found if not is_hidden(name)), key=natural)
            return classes, {name: number for number, name in enumerate(classes)}

    def valid(file: str) -> bool:
        inside = Path(file).relative_to(folder).parts
        return is_picture(file) and not any(is_hidden(part) for part in inside)

    return Folder(str(folder), loader=load, is_valid_file=valid)


def _empty(text: str) -> str:
    """Return torchvision's complaint about missing files as a phrase."""
    first = text.split(". Supported")[0].strip().rstrip(".")
    if "any class folder" in first:
        return "it holds no sub-folders, one for each class"
    return first[:1].lower() + first[1:]


class Drawn(Dataset[tuple[torch.Tensor, int]]):
    """Training pictures, each drawn and augmented by its key alone.

    Raises:
        UserError: on access, a file that is no whole picture; names it.
    """

    def __init__(self, pictures: Labelled, transform: Any, seed: int) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, int]:
        epoch, place, index = key
        picture, label = _read(self.pictures, index)
        with drawing_for(PICTURE, self.seed, epoch, place):
            return self.transform(picture), label


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """Validation pictures, transformed without chance."""

    def __init__(self, pictures: Labelled, transform: Any) -> None:
        self.pictures, self.transform = pictures, transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture, label = _read(self.pictures, index)
        return self.transform(picture), label


def _read(pictures: Labelled, index: int) -> tuple[Any, int]:
    """Return one picture and its class."""
    try:
        return pictures[index]
    except (OSError, SyntaxError, ValueError) as error:
        name = getattr(pictures, "samples", {index: (f"picture {index}",)})[index][0]
        raise UserError(f"{name} is not a whole picture ({error}): repair or remove it, then resume") from error


class Passes(Sampler[list[Key]]):
    """The keys of one device's forward passes in an epoch, from any step on.

    All devices share one order of the epoch. An optimizer step takes the next ``batch`` places of it; rank r of R takes
    every R-th of them from r on, and cuts these into ``accumulate`` passes. The rest at the end is dropped.

    Args:
        total: pictures in the data set.
        batch: pictures a step, over all devices.
        accumulate: passes a step.
        rank, size: this device among all.
        seed: of the order.
        repeats: versions of a picture that an epoch holds (repeated augmentation), 0 for one.
    """

    def __init__(
        self, total: int, batch: int, accumulate: int, rank: int, size: int, seed: int, repeats: int = 0
    ) -> None:
        self.total, self.batch, self.accumulate = total, batch, accumulate
        self.rank, self.size, self.seed, self.repeats = rank, size, seed, repeats
        self.epoch = self.start = 0

    @cached_property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self._order(0)) // self.batch

    def begin(self, epoch: int, step: int = 0) -> None:
        """Choose the epoch and the step that the next iteration begins with."""
        self.epoch, self.start = epoch, step

    def __len__(self) -> int:
        return (self.steps - self.start) * self.accumulate

    def __iter__(self) -> Iterator[list[Key]]:
        order = self._order(self.epoch)
        share = self.batch // self.size // self.accumulate
        for step in range(self.start, self.steps):
            places = range(step * self.batch + self.rank, (step + 1) * self.batch, self.size)
            for first in range(0, len(places), share):
                yield [(self.epoch, place, order[place]) for place in places[first : first + share]]

    def _order(self, epoch: int) -> list[int]:
        """Return the pictures' numbers in the order of the epoch, by timm's and torch's own samplers."""
        from timm.data.distributed_sampler import RepeatAugSampler
        from torch.utils.data.distributed import DistributedSampler

        everything = range(self.total)
        sampler: Any
        if self.repeats:
            sampler = RepeatAugSampler(everything, num_replicas=1, rank=0, num_repeats=self.repeats)
        else:
            sampler = DistributedSampler(everything, num_replicas=1, rank=0)  # type: ignore[arg-type]
        sampler.set_epoch(self.seed * 100_003 + epoch)
        return [int(index) for index in sampler]


def training_loader(drawn: Drawn, passes: Passes, workers: int, *, pin: bool) -> DataLoader[Any]:
    """Return the loader of training passes; it leaves the global generators alone."""
    return DataLoader(
        drawn,
        batch_sampler=passes,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
        worker_init_fn=_obey_the_parent,
    )


def validation_loader(plain: Plain, batch: int, rank: int, size: int, workers: int, *, pin: bool) -> DataLoader[Any]:
    """Return the loader of every ``size``-th validation picture from ``rank`` on: no picture is counted twice."""
    mine = Subset(plain, range(rank, len(plain), size))
    return DataLoader(
        mine,
        batch_size=batch,
        num_workers=workers,
        pin_memory=pin,
        generator=torch.Generator(),
        worker_init_fn=_obey_the_parent,
    )


def _obey_the_parent(worker: int) -> None:
    """Leave Ctrl-C to the parent, which still needs this worker to come to the end of its step; end when it says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def sentence_of(error: UserError) -> str:
    """Return the sentence of an error that a loader's worker may have wrapped in its traceback."""
    return str(error).strip().splitlines()[-1].removeprefix("claimbench.bench.core.errors.UserError: ")
