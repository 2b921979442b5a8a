"""ImageNet's classes by their WordNet ids, as timm lists them."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from claimbench.bench.core.errors import UserError

SYNSET = re.compile(r"n\d{8}")


@cache
def indices() -> dict[str, int]:
    """Return the number of each of the 1,000 classes by its WordNet id."""
    return {synset: number for number, synset in enumerate(_lines("imagenet_synsets.txt"))}


@cache
def subset(name: str) -> tuple[str, ...]:
    """Return the WordNet ids of a part of the classes: ``a`` and ``r`` are ImageNet-A's and -R's 200."""
    return tuple(_lines(f"imagenet_{name}_synsets.txt"))


@cache
def _lemmas() -> dict[str, str]:
    pairs = (line.partition("\t") for line in _lines("imagenet_synset_to_lemma.txt"))
    return {synset: lemma.split(",")[0] for synset, _, lemma in pairs}


def words() -> list[str]:
    """Return the first word of each class, in the order of their numbers, in lower case."""
    return [_lemmas().get(synset, "").lower() for synset in indices()]


def described(synset: str) -> str:
    """Return a WordNet id with its first word: ``n01440764 (tench)``."""
    word = _lemmas().get(synset)
    return f"{synset} ({word})" if word else synset


@cache
def real_labels_file() -> Path:
    """Return the file of ImageNet-ReaL's labels that timm ships."""
    return _folder() / "imagenet_real_labels.json"


def _lines(name: str) -> list[str]:
    try:
        return (_folder() / name).read_text(encoding="utf-8").splitlines() or _missing(name)
    except OSError:
        return _missing(name)


def _missing(name: str) -> list[str]:
    raise UserError(f"this timm does not list ImageNet's classes ({name}): update it with pip install -U timm")


@cache
def _folder() -> Path:
    """Return timm's folder of class lists; timm itself is not imported, since that loads torch."""
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        raise UserError("timm is not installed: pip install timm")
    return Path(spec.origin).parent / "data" / "_info"
