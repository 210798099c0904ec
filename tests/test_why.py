"""Why this sentence: the numbers of the panel, against the definition."""

import numpy as np
import pytest

from fishersft import TokenEmbeddings
from fishersft.scoring.why import nearest_of, why
from tests.reference import algorithm_1


def test_a_picks_gain_is_the_one_it_was_picked_for(pool_of):
    rows = pool_of(20, 5, seed=3)
    order, gains = algorithm_1([rows.block(i) for i in range(20)], 10)
    for r in (1, 4, 10):
        found = why(rows, np.array(order), 10, order[r - 1])
        assert (found.rank, found.picked, found.before) == (r, True, r - 1)
        assert found.gain == pytest.approx(gains[r - 1])
        assert len(found.token_gains) == rows.tokens[order[r - 1]]


def test_an_unpicked_sentence_is_measured_at_the_current_budget(pool_of):
    rows = pool_of(20, 5, seed=3)
    order, gains = algorithm_1([rows.block(i) for i in range(20)], 12)
    found = why(rows, np.array(order), 11, order[11])
    assert (found.rank, found.picked, found.before) == (12, False, 11)
    assert found.gain == pytest.approx(gains[11])
    outside = next(i for i in range(20) if i not in order)
    assert why(rows, np.array(order), 5, outside).rank is None


def test_the_nearest_pick_is_another_one_and_the_most_similar():
    rows = TokenEmbeddings.of(np.array([[[1.0, 0.0]], [[0.9, 0.1]], [[-1.0, 0.2]], [[0.0, -1.0]]]))
    assert nearest_of(rows, 0, np.array([0, 1, 2]))[0] == 1
    assert nearest_of(rows, 1, np.array([1]))[0] is None
