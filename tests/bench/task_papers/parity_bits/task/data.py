"""Files of words, a word of 0 and 1 a line."""

from pathlib import Path

import torch

from claimbench.bench.core.errors import UserError


def find(dataset, place):
    """Return the words (B, N) of a file, which are all as long.

    Raises:
        UserError: the file is not there, or a word holds something else.
    """
    try:
        words = Path(place).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place} cannot be read ({error}): give {dataset.needs}") from error
    if any(set(word) - {"0", "1"} for word in words):
        raise UserError(f"{place}: a word holds something else than 0 and 1")
    if len({len(word) for word in words}) != 1:
        raise UserError(f"{place}: the words are not all as long")
    return torch.tensor([[int(bit) for bit in word] for word in words])
