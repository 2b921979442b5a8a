"""SASRec: a causal transformer over a user's last items that scores the next one (ICDM 2018, section III).

Three placements of its norms go by that name, and the authors' code masks padding while its PyTorch port does not. Each
of the four is a form (:data:`FORMS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.sasrec.sequences import Dense, Observed, Packed, Sequences

__all__ = ["FORMS", "Form", "SASRec", "build", "with_form"]

Placement = Literal["original", "prenorm", "postnorm"]
EPS = 1e-8


@dataclass(frozen=True)
class Form:
    """The differences between the models that are called SASRec.

    Attributes:
        placement: the place of the norms, see :class:`Block`.
        ported: whether the model is that of the PyTorch port: attention has an output projection, positions are
            numbered 1..n with a row for padding, and padded slots are attended to. In the authors' code there is no
            projection, positions are 0..n-1, and padding is hidden.
    """

    placement: Placement
    ported: bool = True


FORMS = {
    "original": Form("original"),
    "prenorm": Form("prenorm"),
    "postnorm": Form("postnorm"),
    "paper": Form("original", ported=False),
}


class CausalAttention(SelfAttention):
    """softmax(q k^T / sqrt(d)) v over each item and those before it, with dropout on the weights.

    Args:
        dim: channels C.
        num_heads: heads; C is divided among them.
        project: whether the output is projected.
        dropout: the rate of dropout on the weights, in training.
    """

    def __init__(self, dim: int, num_heads: int, project: bool, dropout: float) -> None:
        super().__init__(dim, num_heads, qkv_bias=True)
        self.dropout = dropout
        if not project:
            self.proj = nn.Identity()  # type: ignore[assignment]

    def forward(self, x: Tensor, context: Tensor, sequences: Sequences) -> Tensor:  # type: ignore[override]
        """Attend from ``x`` to ``context``, both (..., dim) as ``sequences`` lays them out."""
        if x is context:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:
            weights, biases = (t.tensor_split((x.shape[-1],)) for t in (self.qkv.weight, self.qkv.bias))
            q = F.linear(x, weights[0], biases[0])
            k, v = F.linear(context, weights[1], biases[1]).chunk(2, dim=-1)
        return self.proj(sequences.attend(q, k, v, self.num_heads, self.dropout if self.training else 0.0))


class FeedForward(nn.Module):
    """Two layers of the same width with a ReLU between them and dropout after both, for each item by itself."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dim) to (..., dim)."""
        return self.drop(self.fc2(F.relu(self.drop(self.fc1(x)))))


class Block(nn.Module):
    """Attention and feed-forward, each with a residual connection.

    * ``prenorm``: x + f(LN(x)), as the paper's equations say;
    * ``postnorm``: LN(x + f(x));
    * ``original``, in the authors' code: y + f(y) with y = LN(x); attention takes its queries from y and its keys and
      values from x.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float, form: Form) -> None:
        super().__init__()
        self.placement = form.placement
        self.attn_norm, self.ffn_norm = nn.LayerNorm(dim, eps=EPS), nn.LayerNorm(dim, eps=EPS)
        self.attn = CausalAttention(dim, num_heads, form.ported, dropout)
        self.ffn = FeedForward(dim, dropout)

    def forward(self, x: Tensor, sequences: Sequences) -> Tensor:
        """Map (..., dim) to (..., dim), as ``sequences`` lays them out."""
        if self.placement == "prenorm":
            y = self.attn_norm(x)
            x = x + self.attn(y, y, sequences)
            return x + self.ffn(self.ffn_norm(x))
        if self.placement == "postnorm":
            x = self.attn_norm(x + self.attn(x, x, sequences))
            return self.ffn_norm(x + self.ffn(x))
        y = self.attn_norm(x)
        y = self.ffn_norm(y + self.attn(y, x, sequences))
        return y + self.ffn(y)


class SASRec(nn.Module):
    """The network; items are numbered from 1, and 0 is padding on the left.

    Args:
        items: the number of items.
        maxlen: the longest sequence.
        hidden_units: width d.
        num_blocks, num_heads: the blocks, and the heads of each.
        dropout_rate: the rate after the embedding, on attention's weights and in the feed-forward layers.
        form: see :class:`Form`.
    """

    def __init__(
        self,
        items: int,
        maxlen: int,
        hidden_units: int = 50,
        num_blocks: int = 2,
        num_heads: int = 1,
        dropout_rate: float = 0.2,
        form: Form = FORMS["original"],
    ) -> None:
        super().__init__()
        if hidden_units % num_heads:
            raise ValueError(f"{hidden_units} hidden units cannot be divided among {num_heads} heads")
        self.maxlen, self.ported = maxlen, form.ported
        self.item_emb = nn.Embedding(items + 1, hidden_units, padding_idx=0)
        self.pos_emb = nn.Embedding(maxlen + form.ported, hidden_units, padding_idx=0 if form.ported else None)
        self.drop = nn.Dropout(dropout_rate)
        self.blocks = nn.ModuleList(Block(hidden_units, num_heads, dropout_rate, form) for _ in range(num_blocks))
        self.last_norm = nn.LayerNorm(hidden_units, eps=EPS)
        self.apply(_initialise)
        with torch.no_grad():
            self.item_emb.weight[0].zero_()
            if self.ported:
                self.pos_emb.weight[0].zero_()

    def forward(self, ids: Tensor) -> Tensor:
        """Return the feature (B, n, d) behind each item of ids (B, n), which scores the next item."""
        return self._forward(ids, Dense(None if self.ported else ids != 0))

    def last_attention(self, ids: Tensor) -> Tensor:
        """Return the attention weights (blocks, B, n) of the last item of each sequence (B, n), its own weight first.

        Weights are means over heads and belong to eval mode.
        """
        observed = Observed(None if self.ported else ids != 0)
        self._forward(ids, observed)
        return torch.stack(observed.weights)

    def _forward(self, ids: Tensor, layout: Dense) -> Tensor:
        self._check(ids)
        real = ids != 0
        slots = torch.arange(ids.shape[1], device=ids.device)
        positions = (slots + 1) * real if self.ported else slots.expand_as(ids)
        x = self.drop(self._embed(self.item_emb(ids), positions))
        return self.encode(x if self.ported else x * real.unsqueeze(-1), layout)

    def encode(self, x: Tensor, sequences: Sequences) -> Tensor:
        """Run the blocks on embedded items (..., d)."""
        for block in self.blocks:
            x = block(x, sequences)
        return self.last_norm(x)

    def training_logits(self, ids: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of a positive and a negative item after each real item.

        Args:
            ids, positives, negatives: (B, n), zero for padding.

        Returns:
            two tensors (T,) in one order, T the number of items that are not padding.
        """
        self._check(ids)
        if self.ported:
            real = ids != 0
            embedded = self.item_emb(torch.stack([positives[real], negatives[real]]))
            return (self(ids)[real] * embedded).sum(-1).unbind(0)
        packed = Packed(ids != 0)
        # One look-up of the table instead of three: its gradient is then made once.
        embedded = self.item_emb(torch.stack([ids, positives, negatives])[:, packed.rows, packed.slots])
        found = self.encode(self.drop(self._embed(embedded[0], packed.slots)), packed)
        return (found * embedded[1:]).sum(-1).unbind(0)

    def last(self, ids: Tensor) -> Tensor:
        """Return the feature (B, d) behind the last item of each sequence of ids (B, n)."""
        self._check(ids)
        if self.ported:
            return self(ids)[:, -1]
        packed = Packed(ids != 0)
        embedded = self.item_emb(ids[packed.rows, packed.slots])
        return self.encode(self.drop(self._embed(embedded, packed.slots)), packed)[packed.ends]

    def scores(self, ids: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Return the scores (B, C) of ``candidates`` (B, C) as the next item, or (B, items + 1) of the whole table."""
        last = self.last(ids)
        if candidates is None:
            return last @ self.item_emb.weight.T
        return torch.bmm(self.item_emb(candidates), last.unsqueeze(-1)).squeeze(-1)

    def _embed(self, items: Tensor, positions: Tensor) -> Tensor:
        return items * self.item_emb.embedding_dim**0.5 + self.pos_emb(positions)

    def _check(self, ids: Tensor) -> None:
        if ids.dim() != 2 or ids.is_floating_point():
            raise ValueError(f"expected item ids (batch, length) as integers, found {tuple(ids.shape)} {ids.dtype}")
        if not 0 < ids.shape[1] <= self.maxlen:
            raise ValueError(f"sequences must have between 1 and {self.maxlen} slots, found {ids.shape[1]}")


def _initialise(module: nn.Module) -> None:
    """Draw matrices and tables from Xavier's normal distribution, which speeds up convergence."""
    if isinstance(module, nn.Linear):
        # Queries, keys and values are one matrix here: each gets the spread of its own.
        for part in module.weight.data.split(module.in_features):
            nn.init.xavier_normal_(part)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.xavier_normal_(module.weight)


def build(config: Mapping[str, Any], form: str = "original") -> SASRec:
    """Return the model of a variant in one of :data:`FORMS`.

    Raises:
        ValueError: the form does not exist.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}: use {', '.join(FORMS)}")
    names = ("items", "maxlen", "hidden_units", "num_blocks", "num_heads", "dropout_rate")
    return SASRec(**{name: config[name] for name in names if name in config}, form=FORMS[form])


def with_form(model: SASRec, form: str) -> SASRec:
    """Return a model of the port with another placement of its norms, changed in place; the parameters are the same."""
    if not FORMS[form].ported or not model.ported:
        raise ValueError("only the three forms of the port have the same parameters")
    for block in model.modules():
        if isinstance(block, Block):
            block.placement = FORMS[form].placement
    return model
