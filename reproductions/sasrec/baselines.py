"""The two baselines of the paper's comparison of speed, at its sizes and with the same training as SASRec.

Here every model gets the same batches and loss, so that only the networks differ. Section IV-G of the paper compares
programs that draw their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Caser", "GRU4Rec"]


class _Pairwise(nn.Module):
    """A model whose features after each item are compared with the items' vectors."""

    def __init__(self, items: int, vectors: int) -> None:
        super().__init__()
        self.targets = nn.Embedding(items + 1, vectors, padding_idx=0)

    def training_logits(self, ids: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores (T,) of a positive and a negative item after each of T real items; all ids are (B, n)."""
        real = ids != 0
        embedded = self.targets(torch.stack([positives[real], negatives[real]]))
        good, bad = (self(ids)[real] * embedded).sum(-1).unbind(0)
        return good, bad


class GRU4Rec(_Pairwise):
    """A gated recurrent network over the items (GRU4Rec+, CIKM 2018): one layer of width 100, as its program has it."""

    def __init__(self, items: int, width: int = 100, dropout: float = 0.2) -> None:
        super().__init__(items, width)
        self.drop = nn.Dropout(dropout)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (B, n) to (B, n, width)."""
        found: Tensor = self.gru(self.drop(self.targets(ids)))[0]
        return found


class Caser(_Pairwise):
    """Convolutions over the last five items and over each of their channels (WSDM 2018), for every position.

    Its sizes are those of its program: sixteen horizontal filters of each height and four vertical ones. The user's own
    vector, which SASRec does not have either, is left out.
    """

    def __init__(self, items: int, width: int = 50, last: int = 5, dropout: float = 0.5) -> None:
        super().__init__(items, width)
        self.last = last
        self.embed = nn.Embedding(items + 1, width, padding_idx=0)
        self.horizontal = nn.ModuleList(nn.Conv1d(width, 16, height) for height in range(1, last + 1))
        self.vertical = nn.Linear(last, 4, bias=False)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(16 * last + 4 * width, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (B, n) to (B, n, width)."""
        batch, length = ids.shape
        windows = self.embed(F.pad(ids, (self.last - 1, 0)).unfold(1, self.last, 1)).flatten(0, 1).transpose(1, 2)
        across = [F.relu(convolution(windows)).amax(-1) for convolution in self.horizontal]
        along = self.vertical(windows).flatten(1)
        return F.relu(self.fc(self.drop(torch.cat([*across, along], dim=1)))).unflatten(0, (batch, length))
