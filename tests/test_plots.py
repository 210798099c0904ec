"""Figures: what is on top, what is escaped, what travels with a point."""

import base64
import json

import numpy as np
import pytest

from fishersft.design.trajectory import Curve, band_curve, grid
from fishersft.plots import base as plots
from fishersft.plots.sentence_map import (
    ACROSS,
    FINE,
    MOST_POINTS,
    UP,
    WHOLE,
    Points,
    density,
    inside,
    on_grid,
    points_of,
    sentence_map,
    shown,
    within,
)
from fishersft.scoring import projection


def points(n=50, picked=5, matched=()):
    rng = np.random.default_rng(0)
    rank = np.zeros(n, dtype=int)
    rank[rng.permutation(n)[:picked]] = np.arange(1, picked + 1)
    found = np.zeros(n, dtype=bool)
    found[list(matched)] = True
    return Points(rng.normal(size=(n, 2)), np.arange(n) + 100, rank, found)


def first_trace(p, **options):
    return sentence_map(p, **{"colour_by": "selection", "values": None, "selector": "token_od", **options}).data[0]


def test_picks_are_drawn_last_larger_and_the_first_pick_on_top():
    p = points()
    trace = first_trace(p)
    ranks = p.rank[np.asarray(trace.customdata) - 100]
    assert (ranks[:-5] == 0).all()
    assert ranks[-5:].tolist() == [5, 4, 3, 2, 1]
    sizes = np.asarray(trace.marker.size)
    assert sizes[-5:].min() > sizes[:-5].max()


def test_only_the_record_number_travels_with_a_point():
    trace = first_trace(points())
    assert np.asarray(trace.customdata).ndim == 1
    assert sorted(np.asarray(trace.customdata).tolist()) == list(range(100, 150))


def test_every_point_is_in_one_trace_whatever_the_colour():
    values = np.array([f"topic {i % 7}" for i in range(50)], dtype=object)
    for colour in ("selection", "pick order", "topic"):
        assert len(first_trace(points(), colour_by=colour, values=values).x) == 50


@pytest.mark.parametrize("hostile", ["<b>x</b>", "<img src=x onerror=alert(1)>", "$x^2$", "</span>", "a\u200b\u202eb\x00"])
def test_corpus_text_in_a_legend_is_escaped(hostile):
    values = np.array([hostile, "other"] * 25, dtype=object)
    names = [t.name for t in sentence_map(points(), colour_by="topic", values=values, selector="uniform").data if t.name]
    assert not any(c in "".join(names) for c in ("<", ">", "$", "\x00", "\u202e"))


def test_a_large_pool_is_sampled_and_keeps_every_pick_and_match():
    p = points(MOST_POINTS + 5_000, picked=200, matched=range(300))
    drawn = shown(p, focus=17)
    assert len(drawn) == len(set(drawn.tolist())) <= MOST_POINTS + 1
    assert {*np.flatnonzero(p.rank), *range(300), 17} <= set(drawn.tolist())


def test_figures_stay_small():
    p = points(20_000, picked=1_000)
    values = np.array([f"topic {i % 16}" for i in range(20_000)], dtype=object)
    assert len(sentence_map(p, colour_by="topic", values=values, selector="token_od").to_json()) < 2_000_000


def test_the_gain_figure_names_units_and_draws():
    draws = np.arange(40.0).reshape(20, 2)
    curves = [("uniform", band_curve("Uniform", np.array([1, 2]), draws, "sentences")),
              ("token_od", Curve("TokenOD", np.array([1, 2]), np.array([3.0, 4.0]), "sentences"))]  # fmt: skip
    fig = plots.gain_curves(curves, budget=1)
    assert fig.layout.xaxis.title.text == "sentences selected"
    assert "nats" in fig.layout.yaxis.title.text
    assert any("20 draws" in (t.name or "") for t in fig.data)


def test_curves_check_their_shapes():
    with pytest.raises(ValueError, match="mean has shape"):
        Curve("x", np.arange(3), np.arange(2.0), "sentences")


def test_grids_begin_at_one_and_end_at_the_top():
    for top in (1, 3, 40, 41, 5000):
        g = grid(top)
        assert (g[0], g[-1]) == (1, top)
        assert (np.diff(g) > 0).all()
        assert len(g) <= 40


def test_pca_finds_the_widest_direction_with_a_fixed_sign():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5)) * [9, 3, 1, 1, 1]
    scores = projection.pca(X, 2)
    assert abs(np.corrcoef(scores[:, 0], X[:, 0])[0, 1]) > 0.99
    assert np.allclose(scores, projection.pca(X.copy(), 2))
    assert projection.pca(np.ones((3, 1)), 2).shape == (3, 2)


def test_umap_is_reproducible_and_keeps_clusters_together():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(40, 8)), rng.normal(size=(40, 8)) + 12])
    xy = projection.project(X, seed=1)
    assert np.array_equal(xy, projection.project(X, seed=1))
    within = max(
        np.linalg.norm(xy[:40] - xy[:40].mean(0), axis=1).mean(), np.linalg.norm(xy[40:] - xy[40:].mean(0), axis=1).mean()
    )
    assert np.linalg.norm(xy[:40].mean(0) - xy[40:].mean(0)) > 2 * within
    assert projection.project(X[:4]).shape == (4, 2)


def test_a_lasso_holds_what_lies_inside_of_it():
    rng = np.random.default_rng(0)
    places = rng.integers(0, 10_000, (2_000, 2))
    square = [[2_000, 2_000], [8_000, 2_000], [8_000, 8_000], [2_000, 8_000]]
    x, y = places.T
    assert (inside(places, square) == ((x >= 2_000) & (x < 8_000) & (y >= 2_000) & (y < 8_000)))[x != 2_000].all()
    a, b, c = np.array([[1_000.0, 500.0], [9_000.0, 3_000.0], [4_000.0, 9_500.0]])

    def side(p, q):  # of points that are half a step up, where no corner lies
        return (q[0] - p[0]) * (y + 0.5 - p[1]) - (q[1] - p[1]) * (x - p[0])

    within = (side(a, b) > 0) & (side(b, c) > 0) & (side(c, a) > 0)
    assert 200 < within.sum() < 1_500
    assert (inside(places, [a, b, c]) == within).all()
    assert (inside(places, [c, b, a]) == within).all()  # drawn the other way round
    bow = [[0, 0], [10_000, 10_000], [10_000, 0], [0, 10_000]]  # crosses itself: its middle is a point, its two wings are inside
    assert inside(np.array([[9_000, 5_000], [1_000, 5_000], [5_000, 9_000], [5_000, 1_000]]), bow).tolist() == [
        True,
        True,
        False,
        False,
    ]


def counts_in(picture):
    """(UP, ACROSS) how many places a picture of density says that a cell holds, from the bottom."""
    levels = np.frombuffer(base64.b64decode(picture["cells"]), np.uint8).reshape(UP, ACROSS).astype(float)
    return np.where(levels > 0, max(picture["most"], 2) ** ((levels - 1) / 254), 0)


@pytest.mark.parametrize("region", [WHOLE, (10_000, 30_000, 26_000, 40_000)])
def test_a_picture_of_density_says_how_many_records_lie_where(region):
    rng = np.random.default_rng(0)
    places = on_grid(rng.normal(size=(30_000, 2)) @ [[1, 0.4], [0, 0.3]], equal_axes=False)
    there = places[within(places, region)]
    left, bottom, right, top = region
    inside_it = (places[:, 0] >= left) & (places[:, 0] <= right) & (places[:, 1] >= bottom) & (places[:, 1] <= top)
    assert np.array_equal(there, places[inside_it])
    edges = np.linspace(bottom, top, UP + 1), np.linspace(left, right, ACROSS + 1)
    true = np.histogram2d(there[:, 1], there[:, 0], bins=edges)[0]
    picture = density(there, region)
    assert (picture["records"], picture["most"], picture["window"]) == (len(there), true.max(), list(region))
    said = counts_in(picture)
    assert np.array_equal(said > 0, true > 0) and np.array_equal(said == picture["most"], true == true.max())
    assert np.abs(said - true).max() <= 0.02 * true.max()


def test_a_picture_of_density_has_one_size_whatever_the_pool_has():
    rng = np.random.default_rng(0)
    sizes = [len(json.dumps(density(rng.integers(0, FINE + 1, size=(n, 2))))) for n in (1, 1_000, 300_000)]
    assert max(sizes) - min(sizes) < 20 and max(sizes) < 100_000


def test_a_polygon_of_many_corners_has_inside_what_its_angles_say():
    rng = np.random.default_rng(1)
    turn = np.sort(rng.uniform(0, 2 * np.pi, 120))
    reach = rng.uniform(8_000, 30_000, 120)
    corners = np.round(np.stack([reach * np.cos(turn), reach * np.sin(turn)], 1) + FINE / 2)
    places = rng.integers(0, FINE + 1, size=(4_000, 2))
    # a star around the middle: what it has inside is turned around once by its corners, what is outside not at all
    seen = corners[None] - (places + np.array([0, 0.5]))[:, None]
    angle = np.arctan2(seen[..., 1], seen[..., 0])
    step = (np.diff(angle, axis=1, append=angle[:, :1]) + np.pi) % (2 * np.pi) - np.pi
    assert np.array_equal(inside(places, corners.tolist()), np.abs(step.sum(1)) > np.pi)


def test_places_on_the_map_that_moves_keep_the_shape_of_maps_whose_distances_mean_something():
    xy = np.array([[0.0, 0.0], [4.0, 1.0], [2.0, 0.5]])
    assert on_grid(xy, equal_axes=False).tolist() == [[0, 0], [FINE, FINE], [FINE // 2, FINE // 2]]
    equal = on_grid(xy, equal_axes=True)
    assert (np.ptp(equal[:, 0]), np.ptp(equal[:, 1])) == (FINE, FINE // 4)
    points = points_of(equal, np.arange(3), np.ones(3, int), ["b", "a", "b"], ["x", "<b>", "z"], equal_axes=True)
    assert (points["tags"], points["tag"], points["text"]) == (["a", "b"], [1, 0, 1], ["x", "<b>", "z"])
    assert (
        points["key"]
        != points_of(equal, np.arange(3), np.ones(3, int), ["b", "b", "b"], ["x", "<b>", "z"], equal_axes=True)["key"]
    )
