"""Maps for the eye: the same on any machine, true where it can be checked, and of more records than UMAP lays out at once."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fishersft import Store, TokenEmbeddings
from fishersft.errors import Cancelled
from fishersft.scoring import projection
from fishersft.scoring.projection import map_key, map_of, nearest, neighbours_kept, pca, project

from .conftest import ROOT

FEW = 300


@pytest.fixture
def landmarks(monkeypatch):
    monkeypatch.setattr(projection, "LANDMARKS", FEW)


def clusters(n, d=8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(6, d))[rng.integers(6, size=n)] * 6 + rng.normal(size=(n, d))).astype(np.float32)


def test_the_nearest_are_those_of_brute_force_and_ties_go_to_the_first():
    points, among = clusters(40, seed=1), clusters(200)
    among[7] = among[3]
    points[0] = among[3]
    found, far = nearest(points, among, 5)
    true = np.linalg.norm(points[:, None].astype(float) - among[None], axis=2)
    assert np.array_equal(found, np.argsort(true, axis=1, kind="stable")[:, :5])
    assert np.allclose(far, np.sort(true, axis=1)[:, :5])
    assert found[0, :2].tolist() == [3, 7]


def test_pca_of_many_is_that_of_all_at_once(landmarks, monkeypatch):
    X = clusters(1_000)
    some_at_a_time = pca(X, 3)
    monkeypatch.setattr(projection, "LANDMARKS", len(X))
    assert np.allclose(some_at_a_time, pca(X, 3), atol=1e-4)


def test_neighbours_kept_are_counted_as_by_brute_force(monkeypatch):
    X, xy = clusters(120), np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    assert neighbours_kept(X[:, :2], X[:, :2]) == 1.0

    def around(points, i):
        far = np.linalg.norm(points.astype(float) - points[i], axis=1)
        far[i] = np.inf
        return set(np.argsort(far, kind="stable")[:15])

    true = np.mean([len(around(X, i) & around(xy, i)) / 15 for i in range(120)])
    assert neighbours_kept(X, xy) == pytest.approx(true)


def test_records_beyond_the_landmarks_lie_among_their_like_and_repeated_ones_on_each_other(landmarks):
    X = clusters(900)
    X[500:] = X[:400]  # every record of the second part repeats one of the first
    xy = project(X)
    assert np.isfinite(xy).all()
    chosen = np.sort(np.random.default_rng(0).permutation(900)[:FEW])
    pairs = np.array([(i, i + 500) for i in range(400)])
    placed = pairs[~np.isin(pairs, chosen).any(1)]
    assert np.array_equal(xy[placed[:, 0]], xy[placed[:, 1]])
    assert neighbours_kept(X, xy) > 4 * neighbours_kept(X, np.random.default_rng(0).normal(size=(900, 2)).astype(np.float32))


def test_a_record_unlike_all_others_is_placed_too(landmarks):
    X = clusters(700)
    X[-1] = 1e4
    X[-2] = 0
    low, high = (xy := project(X)).min(0), xy.max(0)
    assert np.isfinite(xy).all()
    assert (high - low < 200).all()


def test_up_to_the_landmarks_a_map_is_laid_out_as_a_whole_and_has_the_key_it_had(landmarks):
    rows = TokenEmbeddings.of([x[None] for x in clusters(FEW)])
    assert map_key(rows).parameters == {"method": "umap", "seed": 0}
    assert "landmarks" in map_key(TokenEmbeddings.of([x[None] for x in clusters(FEW + 1)])).parameters


def test_how_true_a_map_of_landmarks_is_is_kept_with_it_and_a_map_can_be_given_up(landmarks, tmp_path):
    rows, store, told = TokenEmbeddings.of([x[None] for x in clusters(500)]), Store(tmp_path), []

    def give_up(what, done, total):
        told.append(what)
        if what.startswith("placing"):
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        map_of(rows, store=store, on_stage=give_up)
    assert told[0] == f"UMAP of {FEW} landmarks" and store.find(map_key(rows)) is None
    made = map_of(rows, store=store)
    again = map_of(rows, store=store)
    assert np.array_equal(made.xy, again.xy) and made.kept == again.kept
    assert made.kept == pytest.approx(neighbours_kept(rows.means, made.xy))
    assert map_of(rows, "pca", store=store).kept is None


SAME = """
import hashlib, numpy as np, torch
from fishersft.scoring import projection
projection.LANDMARKS = 4_200  # enough for approximate neighbours
rng = np.random.default_rng(0)
X = (rng.normal(size=(9, 30))[rng.integers(9, size=5_000)] * 3 + rng.normal(size=(5_000, 30))).astype(np.float32)
print(torch.get_num_threads(), hashlib.sha256(projection.project(X).tobytes()).hexdigest())
"""


@pytest.mark.rare
@pytest.mark.slow
def test_the_map_is_the_same_with_one_thread_and_with_two():
    found = {}
    for threads in "1", "2":
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        said = subprocess.run([sys.executable, "-c", SAME], env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        count, digest = said.stdout.split()
        found[count] = digest
    assert len(found) == 2 and len(set(found.values())) == 1
