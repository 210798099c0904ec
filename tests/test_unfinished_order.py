"""An order that was interrupted goes on where it was, and ends as it would have; meanwhile others see how far it is."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fishersft import Budget, Pool, Store, TokenEmbeddings, make_selector
from fishersft.errors import Cancelled
from fishersft.pipeline.embed_and_select import JOURNAL, order, order_key, unfinished_picks

from .conftest import ROOT, random_blocks


def pool_of(n, d):
    blocks = random_blocks(n, d, seed=3)
    rows = TokenEmbeddings.of(blocks)
    return Pool(TokenEmbeddings(rows.values, rows.offsets, key=f"pool {n} {d}"))


def stop_after(n):
    seen = []

    def on_pick(pick, seconds):
        seen.append(pick.position)
        if len(seen) == n:
            raise Cancelled("stop")

    return on_pick


@pytest.mark.parametrize("name", ["token_od", "token_od_per_token"])
@pytest.mark.parametrize("d", [12, 160])  # decided in float64 throughout, and screened in float32
def test_an_interrupted_order_goes_on_as_if_nothing_had_happened(tmp_path, name, d):
    pool, selector, budget = pool_of(90, d), make_selector(name), Budget(sentences=60)
    undisturbed, store = order(pool, selector, budget, store=Store(tmp_path / "a")), Store(tmp_path / "b")
    key = order_key(pool.embeddings, selector, 0)
    for after in (7, 40):
        with pytest.raises(Cancelled):
            order(pool, selector, budget, store=store, on_pick=stop_after(after))
        assert [p.position for p, _ in unfinished_picks(store, key)] == undisturbed.positions[:after].tolist()
    told = []
    resumed = order(pool, selector, budget, store=store, on_pick=lambda pick, seconds: told.append(pick.position))
    assert resumed.positions.tolist() == undisturbed.positions.tolist() == told
    assert np.allclose(resumed.gains, undisturbed.gains, rtol=1e-9)
    assert (np.diff(resumed.seconds) >= 0).all() and (np.diff(resumed.evaluations) >= 0).all()
    assert not np.isfinite(undisturbed.optimum_bounds).any() or (resumed.optimum_bounds >= np.cumsum(resumed.gains)).all()
    assert not (store.path / "partial" / key.digest).exists()
    assert order(pool, selector, budget, store=store).positions.tolist() == told


def test_what_was_left_is_enough_where_less_is_asked_and_a_torn_line_is_no_pick(tmp_path):
    pool, selector, store = pool_of(50, 8), make_selector("token_od"), Store(tmp_path)
    with pytest.raises(Cancelled):
        order(pool, selector, Budget(sentences=40), store=store, on_pick=stop_after(20))
    key = order_key(pool.embeddings, selector, 0)
    with (tmp_path / "partial" / key.digest / JOURNAL).open("a") as journal:
        journal.write("[3, 0.")
    found = order(pool, selector, Budget(sentences=10), store=store)
    assert len(found) == 20
    assert (
        found.positions.tolist() == order(pool, selector, Budget(sentences=20), store=Store(tmp_path / "new")).positions.tolist()
    )


def test_a_journal_that_is_none_is_not_read(tmp_path):
    pool, selector, store = pool_of(30, 8), make_selector("token_od"), Store(tmp_path)
    key = order_key(pool.embeddings, selector, 0)
    (store.workspace(key) / JOURNAL).write_text("no picks\n")
    assert len(order(pool, selector, Budget(sentences=5), store=store)) == 5


def test_a_second_look_sees_the_picks_of_the_first_while_they_are_made(tmp_path):
    pool, selector, store = pool_of(40, 8), make_selector("token_od"), Store(tmp_path)
    go, seen = threading.Event(), []

    def slowly(pick, seconds):
        if pick.evaluations and len(unfinished_picks(store, order_key(pool.embeddings, selector, 0))) == 6:
            go.wait(60)

    first = threading.Thread(
        target=order, args=(pool, selector, Budget(sentences=30)), kwargs={"store": store, "on_pick": slowly}
    )
    first.start()

    def watched(pick, seconds):
        seen.append(pick.position)
        if len(seen) == 6:
            assert store.find(order_key(pool.embeddings, selector, 0)) is None
            go.set()

    time.sleep(0.3)
    whole = order(pool, selector, Budget(sentences=30), store=store, on_pick=watched)
    first.join()
    assert whole.positions[: len(seen)].tolist() == seen and len(seen) >= 6


SLOW = """
import pathlib, sys, time
from fishersft import Budget, Store, make_selector
from fishersft.pipeline.embed_and_select import order
from tests.test_unfinished_order import pool_of
order(pool_of(90, 12), make_selector("token_od"), Budget(sentences=60), store=Store(pathlib.Path(sys.argv[1])), on_pick=lambda *_: time.sleep(0.05))
"""


@pytest.mark.slow
def test_an_order_whose_process_is_killed_goes_on_in_another(tmp_path):
    pool, selector, store = pool_of(90, 12), make_selector("token_od"), Store(tmp_path)
    key = order_key(pool.embeddings, selector, 0)
    child = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], cwd=ROOT, env=dict(os.environ))
    until = time.monotonic() + 120
    while len(unfinished_picks(store, key)) < 5:
        assert child.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    left, told = unfinished_picks(store, key), []
    assert 5 <= len(left) < 60
    found = order(pool, selector, Budget(sentences=60), store=store, on_pick=lambda pick, seconds: told.append(pick.position))
    assert (
        found.positions.tolist()
        == told
        == order(pool, selector, Budget(sentences=60), store=Store(tmp_path / "x")).positions.tolist()
    )
