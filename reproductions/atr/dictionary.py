"""Dictionaries of mask templates, learned from the normalised masks of one label: by NMF, PCA or k-means.

The paper's readable parts do not say which of them it took; the choice is this suite's. scikit-learn does the work.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from claimbench.reproductions.atr.structure import template_combination

__all__ = ["METHODS", "Dictionary", "learned", "reconstruction_iou"]

METHODS = ("nmf", "pca", "kmeans")
HALF = 0.5
"""The value of a mask from which on a pixel belongs to the label."""


@dataclass(frozen=True)
class Dictionary:
    """Templates of one label.

    Attributes:
        templates: (T, h, w); with PCA the first one is the mean mask.
        coefficients: (N, T), those of the masks that it was learned from.
    """

    templates: np.ndarray
    coefficients: np.ndarray


def learned(masks: np.ndarray, count: int, method: str = "nmf", seed: int = 0) -> Dictionary:
    """Learn the templates of one label.

    Args:
        masks: (N, h, w), normalised masks, from 0 to 1.
        count: T, the number of templates.
        method: ``nmf`` for non-negative factors, ``pca`` for the mean and the main components around it, ``kmeans`` for
            the means of clusters, of which a mask takes one.
        seed: of whatever is random.

    Raises:
        ValueError: there are fewer masks than templates, or the method does not exist.
    """
    if method not in METHODS:
        raise ValueError(f"the method must be {', '.join(METHODS)}, got {method!r}")
    if not 1 <= count <= len(masks):
        raise ValueError(f"{count} templates need as many masks at least, got {len(masks)}")
    flat = masks.reshape(len(masks), -1).astype(np.float64)
    templates = _LEARNERS[method](flat, count, seed)
    return Dictionary(templates.reshape(count, *masks.shape[1:]), coefficients(templates, flat, method))


def _nmf(flat: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last steps change the templates by little
        found: np.ndarray = NMF(count, init="nndsvda", max_iter=400, tol=1e-3, random_state=seed).fit(flat).components_
    return found


def _pca(flat: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.decomposition import PCA

    mean = flat.mean(0, keepdims=True)
    if count == 1:
        return mean
    return np.concatenate([mean, PCA(count - 1, random_state=seed).fit(flat).components_])


def _kmeans(flat: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    found: np.ndarray = KMeans(count, n_init=3, random_state=seed).fit(flat).cluster_centers_
    return found


_LEARNERS = {"nmf": _nmf, "pca": _pca, "kmeans": _kmeans}


def coefficients(templates: np.ndarray, flat: np.ndarray, method: str) -> np.ndarray:
    """Return the coefficients (N, T) that give masks (N, h w) back best in the way of a method.

    They are non-negative least squares for ``nmf``, the projection for ``pca``, whose mean has coefficient 1, and the
    nearest template's for ``kmeans``.
    """
    if method == "nmf":
        from scipy.optimize import nnls

        return np.stack([nnls(templates.T, mask)[0] for mask in flat])
    if method == "pca":
        return np.concatenate([np.ones((len(flat), 1)), (flat - templates[0]) @ templates[1:].T], axis=1)
    distances = np.square(flat).sum(1)[:, None] - 2 * flat @ templates.T + np.square(templates).sum(1)
    return np.eye(len(templates))[distances.argmin(1)]


def reconstruction_iou(dictionary: Dictionary, masks: np.ndarray, method: str) -> float:
    """Return the mean intersection over union of masks (N, h, w) with what a dictionary makes of them."""
    import torch

    flat = masks.reshape(len(masks), -1).astype(np.float64)
    given = coefficients(dictionary.templates.reshape(len(dictionary.templates), -1), flat, method)
    templates, weights = (torch.from_numpy(each) for each in (dictionary.templates[None], given[:, None]))
    made = template_combination(templates, weights)[:, 0].numpy() >= HALF
    true = masks >= HALF
    both, either = ((made & true).sum((1, 2)), (made | true).sum((1, 2)))
    return float(np.divide(both, either, out=np.ones(len(masks)), where=either > 0).mean())
