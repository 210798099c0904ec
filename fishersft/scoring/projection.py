"""Sentence means in two dimensions, for looking only: the choice itself happens on d-dimensional token rows."""

from __future__ import annotations

import warnings

import numpy as np

from fishersft.errors import MissingExtra

PCA_DIMENSIONS = 50
NEIGHBOURS = 15
METHODS = ("umap", "pca")


def project(means: np.ndarray, method: str = "umap", seed: int = 0) -> np.ndarray:
    """(N, d) -> (N, 2) float32.

    UMAP (McInnes et al. 2018) after PCA to 50 dimensions where d is larger; PCA alone below 10 sentences, where a
    neighbourhood graph says nothing.  The same seed gives the same map.
    """
    means = np.asarray(means, dtype=np.float32)
    if method == "pca" or len(means) < 10:
        return pca(means, 2)
    try:
        import umap
    except ImportError as error:
        raise MissingExtra("The UMAP map", "app") from error
    reduced = pca(means, PCA_DIMENSIONS) if means.shape[1] > PCA_DIMENSIONS else means
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "n_jobs overridden to 1 by setting random_state": as intended
        mapper = umap.UMAP(n_neighbors=min(NEIGHBOURS, len(means) - 1), min_dist=0.15, random_state=seed)
        return np.asarray(mapper.fit_transform(reduced), dtype=np.float32)


def pca(X: np.ndarray, k: int) -> np.ndarray:
    """(N, d) -> (N, k): scores on the first principal directions; the sign of each is fixed; missing ones are zero."""
    import torch

    centred = torch.from_numpy(np.asarray(X, dtype=np.float64))
    centred = centred - centred.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    directions = vectors.flip(1)[:, :k]
    biggest = directions.abs().argmax(0)
    directions = directions * directions[biggest, range(directions.shape[1])].sign()
    scores = (centred @ directions).numpy().astype(np.float32)
    return np.pad(scores, ((0, 0), (0, k - scores.shape[1])))
