"""The losses of both stages of training, and the scores of attributes by linear classifiers (section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["accuracies", "attribute_loss", "identity_losses", "svm_scores"]


def identity_losses(features: Tensor, logits: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two losses of ANet's pre-training: of identities, and of features that should agree.

    The paper does not print the weight between them.

    Args:
        features: (N, D), the outputs of FC.
        logits: (N, classes), the scores of identities.
        identities: (N,), int64.

    Returns:
        The softmax cross entropy, mean over the samples; and the sum of the squared distances of features over all
        unordered pairs of one identity.

    Raises:
        ValueError: an identity has no logit, or the sizes differ.
    """
    if not len(features) == len(logits) == len(identities):
        found = f"{len(features)} features, {len(logits)} logits and {len(identities)} identities"
        raise ValueError(f"a loss needs one of each a sample, got {found}")
    if len(identities) and not 0 <= int(identities.min()) <= int(identities.max()) < logits.shape[1]:
        raise ValueError(f"identities must be from 0 to {logits.shape[1] - 1}, got {identities.tolist()}")
    # Over the pairs of n points the squared distances add up to n times those from their mean.
    own = F.one_hot(identities, logits.shape[1]).to(features.dtype)
    sizes = own.sum(0)
    means = (own.T @ features) / sizes.clamp(min=1)[:, None]
    spread = (features - means[identities]).square().sum(1)
    return F.cross_entropy(logits, identities), (spread * sizes[identities]).sum()


def attribute_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of independent sigmoids: the sum over attributes, the mean over samples.

    Args:
        logits: (N, attributes).
        labels: (N, attributes), 1 where a sample has the attribute, else 0.
    """
    if logits.shape != labels.shape:
        raise ValueError(f"labels must be {tuple(logits.shape)}, got shape {tuple(labels.shape)}")
    each = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
    return each.sum(-1).mean()


def svm_scores(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the scores of linear classifiers, mean over the patches of each picture.

    Args:
        features: (N, patches, D).
        weight: (attributes, D). bias: (attributes,).

    Returns:
        (N, attributes).
    """
    return F.linear(features, weight, bias).mean(dim=1)


def accuracies(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the accuracy and the balanced accuracy of each attribute, as fractions.

    A positive score says that a sample has the attribute. Balanced accuracy is the mean of the rates of true positives
    and of true negatives; if there are only samples of one kind, its rate alone.

    Args:
        scores, labels: (N, attributes); labels are positive where a sample has the attribute.
    """
    said, true = scores > 0, labels > 0
    right = (said == true).to(torch.float64)
    rates = [(right * kind).sum(0) / kind.sum(0) for kind in (true, ~true)]
    return right.mean(0), torch.stack(rates).nanmean(0)
