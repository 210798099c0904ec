"""Maps of a pool's sentence means, for the eye: PCA and UMAP (McInnes et al. 2018), computed once and kept.

UMAP lays out up to LANDMARKS records.  Of a larger pool it lays out that many, drawn by the seed and begun from their PCA; every
other record is then placed among the landmarks that are nearest to it, so that records alike lie alike, and one that repeats a
landmark lies on it.  (umap's own `transform` kept fewer neighbours of 30,000 generated records placed by 10,000 landmarks, 19 %
against 22 %, and took 35 times the processor time.)  How many of a record's true neighbours are its neighbours on the map is
measured and kept too.

The same seed gives the same map with any number of threads: sums are made on one thread, and distances that decide anything are
computed in float64, one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from fishersft.design.factor import suited_to
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import MissingExtra
from fishersft.store.artifacts import ArtifactKey, Store, cached_arrays

Report = Callable[[str, int, int], None]  # what is done, how much of how much; may raise Cancelled
MAP = "map"
LARGE = 1e15
PCA_DIMENSIONS = 50
NEIGHBOURS = 15
LANDMARKS = 20_000
SPARE = 3  # more candidates than neighbours, since float32 may take the last ones in another order
AT_ONCE = 2_048  # records placed at once
CHECKED = 1_000  # records whose neighbours are compared
ROWS = 65_536  # rows added up at once


@dataclass(frozen=True)
class Map:
    """A pool on a plane.

    Attributes:
        xy: (N, 2) float32 coordinates.
        kept: the share of a record's NEIGHBOURS nearest records that are among its nearest ones on the map, over a sample; None
            where all records were laid out together.
    """

    xy: np.ndarray
    kept: float | None = None


def map_of(
    embeddings: TokenEmbeddings,
    method: str = "umap",
    seed: int = 0,
    store: Store | None = None,
    on_stage: Report | None = None,
) -> Map:
    """The map of the sentence means, from the store or made now; see `project`."""

    def compute() -> dict[str, np.ndarray]:
        means = embeddings.means
        made = {"xy": project(means, method, seed, on_stage)}
        if _by_landmarks(len(means), method):
            made["kept"] = np.array(neighbours_kept(means, made["xy"], seed))
        return made

    found = cached_arrays(store or Store.default(), map_key(embeddings, method, seed), compute)
    return Map(found["xy"], float(found["kept"]) if "kept" in found else None)


def map_key(embeddings: TokenEmbeddings, method: str = "umap", seed: int = 0) -> ArtifactKey:
    more = {"landmarks": LANDMARKS} if _by_landmarks(len(embeddings), method) else {}
    return ArtifactKey(MAP, 1, {"method": method, "seed": seed, **more}, {"embeddings": embeddings.key})


def _by_landmarks(N: int, method: str) -> bool:
    return method != "pca" and N > LANDMARKS


def project(means: np.ndarray, method: str = "umap", seed: int = 0, on_stage: Report | None = None) -> np.ndarray:
    """(N, d) -> (N, 2) float32, the same for the same seed.

    UMAP after PCA to 50 dimensions if d is larger; PCA alone below 10 sentences, too few for a neighbourhood graph.  A map has no
    unit, so means whose squares float32 cannot hold are scaled to 1 first.
    """
    means = np.asarray(means, dtype=np.float32)
    if (largest := np.abs(means).max(initial=0)) > LARGE:
        means = means / largest
    if method == "pca" or len(means) < 10:
        return pca(means, 2)
    if len(means) <= LANDMARKS:
        reduced = pca(means, PCA_DIMENSIONS) if means.shape[1] > PCA_DIMENSIONS else means
        return _umap(reduced, seed)
    return _placed(means, seed, on_stage or (lambda what, done, total: None))


def _umap(points: np.ndarray, seed: int, **more: object) -> np.ndarray:
    try:
        import umap
    except ImportError as error:
        raise MissingExtra("The UMAP map", "app") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "n_jobs overridden to 1 by setting random_state": as intended
        mapper = umap.UMAP(n_neighbors=min(NEIGHBOURS, len(points) - 1), min_dist=0.15, random_state=seed, **more)
        return np.asarray(mapper.fit_transform(points), dtype=np.float32)


def pca(X: np.ndarray, k: int) -> np.ndarray:
    """(N, d) -> (N, k): scores on the first principal directions; the sign of each is fixed; missing ones are zero."""
    if len(X) > LANDMARKS:
        return _pca_of_many(X, k)
    centred = torch.from_numpy(np.asarray(X, dtype=np.float64))
    centred = centred - centred.mean(0)
    scores = (centred @ _directions(centred.T @ centred, k)).numpy().astype(np.float32)
    return np.pad(scores, ((0, 0), (0, k - scores.shape[1])))


def _directions(moment: torch.Tensor, k: int) -> torch.Tensor:
    _, vectors = torch.linalg.eigh(moment)
    directions = vectors.flip(1)[:, :k]
    biggest = directions.abs().argmax(0)
    return directions * directions[biggest, range(directions.shape[1])].sign()


def _pca_of_many(X: np.ndarray, k: int) -> np.ndarray:
    """The same, some rows at a time."""
    parts = [slice(a, a + ROWS) for a in range(0, len(X), ROWS)]
    with suited_to(1):  # one thread adds up in one order
        mean = sum(X[part].sum(0, dtype=np.float64) for part in parts) / len(X)
        moment = torch.zeros((X.shape[1],) * 2, dtype=torch.float64)
        for part in parts:
            centred = torch.from_numpy(X[part] - mean)
            moment.addmm_(centred.T, centred)
        directions = _directions(moment, k)
        scores = np.concatenate([(torch.from_numpy(X[part] - mean) @ directions).numpy().astype(np.float32) for part in parts])
    return np.pad(scores, ((0, 0), (0, k - scores.shape[1])))


def _placed(means: np.ndarray, seed: int, report: Report) -> np.ndarray:
    """UMAP of landmarks, and every other record at the mean of its nearest ones, the nearer the heavier."""
    N = len(means)
    what = f"UMAP of {LANDMARKS:,} landmarks"
    report(what, 0, 1)
    reduced = pca(means, PCA_DIMENSIONS)
    landmarks = np.sort(np.random.default_rng(seed).permutation(N)[:LANDMARKS])
    begin = reduced[landmarks, :2] / np.abs(reduced[landmarks, :2]).max(initial=1e-9) * 10
    laid = _umap(reduced[landmarks], seed, init=begin)
    report(what, 1, 1)
    xy = np.empty((N, 2), dtype=np.float32)
    xy[landmarks] = laid
    rest = np.setdiff1d(np.arange(N), landmarks)
    for a in range(0, len(rest), AT_ONCE):
        some = rest[a : a + AT_ONCE]
        near, far = nearest(reduced[some], reduced[landmarks], NEIGHBOURS)
        xy[some] = _among(laid[near], far)
        report("placing the others", min(a + AT_ONCE, len(rest)), len(rest))
    return xy


def nearest(points: np.ndarray, among: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) positions of the nearest of `among` to each point, the nearest first, and (n, k) their distances in float64.

    Ties go to the first.  Candidates come from a product in float32, and what they are worth from float64.
    """
    A, B = torch.from_numpy(points), torch.from_numpy(among)
    squares = torch.addmm((B * B).sum(1), A, B.T, alpha=-2)
    found = squares.topk(min(k + SPARE, len(among)), largest=False).indices.sort(1).values.numpy()
    far = np.square(points[:, None].astype(np.float64) - among[found]).sum(2)
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, order, 1), np.sqrt(np.take_along_axis(far, order, 1))


def _among(laid: np.ndarray, far: np.ndarray) -> np.ndarray:
    """(n, 2) places among the (n, k, 2) places of the nearest landmarks, which are so far away."""
    beyond = far - far[:, :1]
    weights = np.exp(-beyond / np.maximum(beyond.mean(1, keepdims=True), 1e-12))
    return (weights[:, :, None] * laid).sum(1) / weights.sum(1)[:, None]


def neighbours_kept(means: np.ndarray, xy: np.ndarray, seed: int = 0, sample: int = CHECKED) -> float:
    """The share of a record's nearest records that are among its nearest on the map, over some records."""
    some = np.random.default_rng(seed).permutation(len(means))[:sample]
    kept = 0
    for part in np.array_split(some, -(-len(some) // 50)):
        true, seen = (nearest(all_of[part], all_of, NEIGHBOURS + 1)[0] for all_of in (means, xy))
        kept += sum(len(np.intersect1d(t[t != p], s[s != p])) for p, t, s in zip(part, true, seen, strict=True))
    return kept / (len(some) * NEIGHBOURS)
