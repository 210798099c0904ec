"""Orders walked pick by pick, and what one record adds: against brute force."""

import numpy as np
import pytest

from fishersft import TokenEmbeddings
from fishersft.design.information import design_matrix, gain
from fishersft.design.trajectory import axes, designs_at, log_det_at, principal_directions, walk
from fishersft.scoring.why import direction_added, gain_along, gains_now, neighbours_of, why
from tests.reference import algorithm_1

from .conftest import random_blocks


@pytest.mark.parametrize(("d", "most"), [(5, 9), (5, 20), (140, 9)])
@pytest.mark.parametrize("sigma2", [1.0, 0.3])
def test_gains_and_shadows_are_those_of_the_definition(d, most, sigma2):
    blocks = random_blocks(20, d, 3, most=most)
    e = TokenEmbeddings.of(blocks)
    U = np.linalg.qr(np.random.default_rng(0).normal(size=(d, 2)))[0]
    order = np.array([4, 0, 19, 7, 11])
    found = walk(e, order, plane=U, sigma2=sigma2)
    for k in range(len(order) + 1):
        V = design_matrix([blocks[p] for p in order[:k]], d, sigma2)
        assert np.allclose(found.shadows[k], U.T @ np.linalg.inv(V) @ U, atol=1e-10)
        if k < len(order):
            assert found.gains[k] == pytest.approx(gain(V, blocks[order[k]]))


@pytest.mark.parametrize("d", [5, 140, 300])
def test_a_running_design_is_the_design_of_its_picks_at_every_budget(d, monkeypatch):
    monkeypatch.setattr("fishersft.design.trajectory.CHUNK", 17)
    blocks = [b.astype(np.float16) for b in random_blocks(30, d, 4, most=9)]
    order, at = np.random.default_rng(0).permutation(30), [0, 1, 2, 11, 11, 30]
    exact = [design_matrix([blocks[p] for p in order[:n]], d, 0.3) for n in at]
    rows = TokenEmbeddings.of(blocks)
    for V, found, single in zip(
        exact, designs_at(rows, order, at, 0.3), designs_at(rows, order, at, 0.3, single=True), strict=True
    ):
        assert np.allclose(found, V, rtol=1e-13) and np.allclose(single, V, rtol=1e-5, atol=1e-5)
    by_definition = [np.linalg.slogdet(V)[1] - d * np.log(0.3) for V in exact]
    assert np.allclose(log_det_at(rows, order, at, 0.3), by_definition, atol=1e-9)


def test_walking_a_greedy_order_gives_its_own_gains():
    blocks = random_blocks(20, 6, 5)
    picks, gains = algorithm_1(blocks, 20)
    e = TokenEmbeddings.of(blocks)
    assert np.allclose(walk(e, np.array(picks)).gains, gains)


def test_the_axes_of_a_known_ellipse():
    turn = 0.5
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    long, short, angle = axes(R @ np.diag([9.0, 4.0]) @ R.T)
    assert (long, short) == pytest.approx((3, 2))
    assert np.tan(angle) == pytest.approx(np.tan(turn))


def test_principal_directions_are_where_the_rows_are_longest():
    rows = [np.array([[0.0, 9.0, 0.0]]), np.array([[3.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])]
    e = TokenEmbeddings.of(rows)
    assert np.allclose(np.abs(principal_directions(e, 2)), [[0, 1], [1, 0], [0, 0]])


def test_the_direction_added_by_hand():
    rows = [np.array([[0.0, 3.0]]), np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([[7.0, 0.0]])]
    added = direction_added(TokenEmbeddings.of(rows), np.array([0]), 1)
    assert added.share == pytest.approx(1)  # both rows point the same way
    assert added.narrowed == pytest.approx(1 / np.sqrt(1 + 5))
    assert added.half == 1
    assert np.allclose(added.tokens, [0.8, 0.2])
    assert np.allclose(added.along, [0, 2.5, 49], atol=1e-6)


def test_what_a_record_gains_at_any_budget_leaves_itself_out():
    blocks = random_blocks(12, 5, 6)
    e = TokenEmbeddings.of(blocks)
    order = np.array([3, 1, 8, 2])
    found = gain_along(e, order, [0, 2, 4], 1, sigma2=0.5)
    for g, before in zip(found, ([], [3], [3, 8, 2]), strict=True):
        assert g == pytest.approx(gain(design_matrix([blocks[p] for p in before], 5, 0.5), blocks[1]))
    assert why(e, order, 4, 1, sigma2=0.5, before=4).gain == pytest.approx(found[-1])


@pytest.mark.parametrize("d", [6, 140])
def test_gains_now_are_those_of_the_definition(d):
    blocks = random_blocks(15, d, 7)
    e = TokenEmbeddings.of(blocks)
    V = design_matrix([blocks[2], blocks[5]], d)
    assert np.allclose(gains_now(e, np.array([2, 5])), [gain(V, b) for b in blocks], rtol=1e-4)


def test_neighbours_come_nearest_first_and_leave_the_record_out():
    rows = TokenEmbeddings.of(np.array([[[1.0, 0]], [[0.9, 0.1]], [[-1, 0]], [[0, -0.2]]]))
    near, cosines = neighbours_of(rows, 0, np.arange(4), 3)
    assert near[0] == 1
    assert 0 not in near
    assert (np.diff(cosines) <= 0).all()
