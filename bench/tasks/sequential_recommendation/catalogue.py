"""The data sets of sequential recommendation, as data. Only the standard library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from claimbench.bench.core.task import DataSet

_TEXT = "a text file with a user and an item a line, numbered from 1, each user's lines in the order of time"
_PREPARED = f"the authors' prepared file, {_TEXT}"


@dataclass(frozen=True)
class ActionSet(DataSet):
    """A data set of users' actions.

    Attributes:
        users, items, actions: the required numbers; None if any will do.
        content: the digest of its actions in their order, :attr:`Interactions.digest`; empty if it is not known.
        url, sha256: the address of its published file, and that file's digest.
        package: the installed package that it comes with, and the file in it.
    """

    needs: str = _PREPARED
    source: str = "SASRec, section IV-A to IV-C and its authors' code"
    users: int | None = None
    items: int | None = None
    actions: int | None = None
    content: str = ""
    url: str = ""
    sha256: str = ""
    package: tuple[str, str] | None = None


_ALL = (
    ActionSet(
        "amazon-games",
        "Amazon Games",
        prefix="games",
        has_package=True,
        users=31_013,
        items=23_715,
        actions=287_107,
        content="5eeecba27b6a13c5c65543abcc483ed4c0c52e7c54a69522eb093494515a13e8",
        url="https://raw.githubusercontent.com/kang205/SASRec/e3738967fddab206d6eeb4fda433e7a7034dd8b1/data/Video.txt",
        sha256="b7376fe24430743f411dc7f567285657b2adb3f74361cc7ba0aee94f3024b651",
    ),
    ActionSet("amazon-beauty", "Amazon Beauty", prefix="beauty", users=52_024, items=57_289),
    ActionSet("steam", "Steam", prefix="steam", users=334_730, items=13_047),
    ActionSet("movielens-1m", "MovieLens-1M", prefix="ml1m", users=6_040, items=3_416),
    ActionSet(
        "movielens-100k",
        "MovieLens-100K",
        prefix="ml100k",
        has_package=True,
        needs="ml-100k.inter or u.data: user, item, rating and time of day a line, divided by tabs",
        users=943,
        items=1_349,
        actions=99_287,
        content="f9d65daac1f9de7c441b37a9f686c8bba6f08733d28beb47f0fb955ee938c916",
        package=("recbole", "dataset_example/ml-100k/ml-100k.inter"),
        source="the same; users and items with fewer than 5 actions left out, equal times in a fixed random order",
    ),
    ActionSet("pairs", "a file of pairs", prefix="pairs", needs=_TEXT),
)

DATASETS: Mapping[str, ActionSet] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "amazon-games"
