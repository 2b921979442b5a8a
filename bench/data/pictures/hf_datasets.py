"""Data sets of Hugging Face ``datasets``: saved to the disk, as Parquet files, or by name from the hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.text import first_line, several, some
from claimbench.bench.data.pictures import synsets
from claimbench.bench.data.pictures.collection import Pictures, Problem, Source, problem
from claimbench.bench.data.pictures.labelled import PictureSet
from claimbench.bench.data.pictures.scan import SPLITS

PREFIX = "hf:"
"""The prefix of the name of a data set on the hub."""

_LABELS = ("fine_label", "label", "labels", "cls")
"""The names of columns of classes, the likeliest first."""

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.parquet")
_LEAST_WORDS = 0.2
"""The share of ImageNet's words that a table in the usual order has at least: lists call many classes otherwise."""

_SAVED = ("dataset_dict.json", "state.json")


class Rows(Source):
    """The pictures in a column of a table."""

    def __init__(self, table: Any, column: str) -> None:
        self._table, self._column = table, column

    def encoded(self, index: int) -> bytes:
        """Return the file of a picture."""
        item = self._table[index][self._column]
        if item is None:
            raise OSError("there is no picture in this row")
        if not item["bytes"] and not item["path"]:
            raise OSError("the picture in this row is empty")
        data: bytes = item["bytes"] or Path(item["path"]).read_bytes()
        return data


def is_hub(data: str) -> bool:
    """Whether ``data`` is a name on the hub, a saved data set, or a folder of Parquet files."""
    if data.startswith(PREFIX):
        return True
    folder = Path(data)
    return folder.is_dir() and (any((folder / name).is_file() for name in _SAVED) or bool(_parquet(folder)))


def open_hub(dataset: PictureSet, data: str) -> Pictures:
    """Return the pictures of a table with one column of pictures and one of classes.

    Raises:
        UserError: ``datasets`` is not installed, the data cannot be loaded or have no such columns, rows have no class,
            or the protocol goes by the files' names, which a table does not keep.
    """
    if dataset.several_labels or dataset.layout == "corruptions":
        where = f"which {data} does not keep: it needs {dataset.needs}"
        raise UserError(f"{dataset.title} is told by its files' names, {where}")
    if find_spec("datasets") is None:
        raise UserError(f"{data} is a Hugging Face data set: pip install datasets")
    import datasets

    table = _evaluated(_load(data), data)
    pictures = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    column = _column(table, datasets.ClassLabel, data)
    if not pictures:
        raise UserError(f"{data} has no column of pictures: {list(table.features)}")
    table = table.cast_column(pictures[0], datasets.Image(decode=False))
    names = list(getattr(table.features[column], "names", None) or [])
    known = synsets.indices() if dataset.synsets else {_plain(name): n for n, name in enumerate(dataset.names)}
    called = names if dataset.synsets else [_plain(name) for name in names]
    numbers = {number: known[name] for number, name in enumerate(called) if name in known}
    strangers = [name for number, name in enumerate(names) if number not in numbers]
    given = _classes(table, column, data)
    return Pictures(
        names=[f"{number:08d}" for number in range(len(table))],
        labels=[(numbers.get(label, label),) for label in given],
        classes=list(synsets.indices()) if dataset.synsets else list(dataset.names) or names,
        source=Rows(table, pictures[0]),
        stamps=[(0, int(str(table._fingerprint)[:12], 16))] * len(table),
        place=data,
        problems=_name_problems(dataset, names, strangers),
        expected=dataset.images,
    )


def _column(table: Any, kind: type, data: str) -> str:
    """Return the name of the column of classes.

    Raises:
        UserError: there is none, or any of several could be meant.
    """
    found = [name for name, feature in table.features.items() if isinstance(feature, kind)]
    usual = [name for name in _LABELS if name in table.features]
    if usual or len(found) == 1:
        return (usual or found)[0]
    if found:
        raise UserError(f"{data} has several columns of classes ({', '.join(found)}) and none is called label")
    raise UserError(f"{data} has no column of classes: {list(table.features)}")


def _classes(table: Any, column: str, data: str) -> list[int]:
    """Return the class of each row.

    Raises:
        UserError: rows have no class, or something that is no number of one.
    """
    found = list(table[column])
    wrong = [f"row {row} has {label!r:.40}" for row, label in enumerate(found) if type(label) is not int or label < 0]
    if wrong:
        what = several(len(wrong), "row has", "rows have")
        raise UserError(f"{data}: {what} no class number in column {column}: {some(wrong)}")
    return found


def _plain(name: str) -> str:
    """Return a name without the differences of its spellings: ``T - shirt / top`` and ``T-shirt/top``."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _name_problems(dataset: PictureSet, names: Sequence[str], strangers: Sequence[str]) -> list[Problem]:
    """Return the problems with the names of the classes, which give away another data set.

    ImageNet's classes are named by WordNet id, or, all 1,000 in the usual order, by words.
    """
    if not names or dataset.classes is None:
        return []
    if dataset.synsets and 0 < len(strangers) < len(names):
        return problem(strangers, "class is", "classes are", "not ImageNet's", excusable=False)
    if (strangers or dataset.names) and len(names) != dataset.classes:
        return [Problem(f"its {several(len(names), 'class', 'classes')} are others: {some(names)}")]
    if dataset.names:
        return problem(strangers, "of its classes is another", "of its classes are others", excusable=False)
    if strangers and dataset.synsets:
        same = sum(word in name.lower() for word, name in zip(synsets.words(), names, strict=True))
        if same < _LEAST_WORDS * len(names):
            return [Problem(f"its classes are not ImageNet's in the usual order: {some(names)}")]
    return []


def _load(data: str) -> Any:
    import datasets

    try:
        if data.startswith(PREFIX):
            return datasets.load_dataset(data.removeprefix(PREFIX))
        if files := _parquet(Path(data)):
            _check_parquet(files, data)
            return datasets.load_dataset("parquet", data_files=[str(file) for file in files], split="train")
        return datasets.load_from_disk(data)
    except UserError:
        raise
    except Exception as error:  # the library raises whatever its back ends raise
        raise UserError(f"{data} cannot be loaded by Hugging Face datasets: {first_line(error)}") from error


def _evaluated(found: Any, data: str) -> Any:
    """Return the split that is evaluated."""
    if not isinstance(found, dict):
        return found
    split = next((name for name in SPLITS if name in found), None)
    if split is None:
        raise UserError(f"{data} has no validation or test split, only {', '.join(found)}")
    return found[split]


def _parquet(folder: Path) -> list[Path]:
    """Return the Parquet files of the split that is evaluated, or all if none is named for one."""
    files = sorted(folder.glob("*.parquet")) or sorted((folder / "data").glob("*.parquet"))
    return next((chosen for split in SPLITS if (chosen := [f for f in files if f.name.startswith(split)])), files)


def _check_parquet(files: Sequence[Path], data: str) -> None:
    """Raise UserError if the files are of a training split, or not all of those that their names speak of."""
    if all(file.name.startswith("train") for file in files):
        raise UserError(f"{data} holds a training split only: accuracy is measured on the validation split")
    parts = [match for file in files if (match := _SHARD.fullmatch(file.name))]
    there = {(match[1], int(match[2])) for match in parts}
    wanted = {(match[1], number, match[3]) for match in parts for number in range(int(match[3]))}
    missing = sorted(f"{head}-{n:05}-of-{all_}.parquet" for head, n, all_ in wanted if (head, n) not in there)
    if missing:
        raise UserError(f"{data}: {several(len(missing), 'file is', 'files are')} missing: {some(missing)}")
