"""Make `assets/store/`: the demo's embeddings, maps, orders, curves and draws, so that the first chart needs no computing.

    python assets/build_store.py

The rows are float16, half the size: the first 150 picks are those of float32 rows (a test holds it), further on near-ties may
swap places.  Artifacts are named by what they were made from, so they are used only while corpus, model and code versions
match, and are recomputed otherwise.
"""

import shutil
from pathlib import Path

import numpy as np

from fishersft import Budget, Pool, Store, compare, load_corpus, load_pool, make_selector
from fishersft.design.trajectory import grid
from fishersft.pipeline import embed_and_select
from fishersft.scoring import precomputed
from fishersft.scoring.comparison import scorer_of
from fishersft.scoring.interpolation import draw_paths, pick_path

ORDERS = ("token_od", "sentence_od", "uniform", "longest")
COMPARED = 120  # sentences that the Compare page opens with
TARGET = Path(__file__).resolve().parent / "store"


def main() -> None:
    shutil.rmtree(TARGET, ignore_errors=True)
    store = Store(TARGET)
    embeddings = embed_and_select.embed(load_corpus("demo"), "mini", store=store, dtype="float16")
    pool = Pool(embeddings)
    everything = Budget(sentences=len(pool))
    for name in ORDERS:
        selector = make_selector(name)
        order = embed_and_select.order(pool, selector, everything, store=store)
        precomputed.gain_of(embeddings, order, selector, 0, store=store)
        print(f"{name}: {len(order)} picks in {order.seconds[-1]:.1f} s, {order.evaluations[-1]} evaluations")
    for method in ("umap", "pca"):
        precomputed.map_of(embeddings, method, store=store)
    band = precomputed.band(embeddings, len(pool), int(embeddings.tokens.sum()), store=store)
    assert np.array_equal(band.sentences, grid(len(pool)))
    chance(store)
    along(store)
    for leftover in ("locks", "partial"):
        shutil.rmtree(TARGET / leftover, ignore_errors=True)
    size = sum(f.stat().st_size for f in TARGET.rglob("*") if f.is_file())
    print(f"{TARGET.name}: {size / 1e6:.1f} MB")


def along(store: Store) -> None:
    """The draws, and the picks of the usual selectors, at the budgets that Compare reads off between."""
    pool = load_pool(load_corpus("demo"), "mini", store=store)
    scorer = scorer_of(pool)
    draw_paths(scorer, 0, store=store)
    for name in ORDERS:
        selector = make_selector(name)
        pick_path(
            scorer, selector, 0, embed_and_select.order(pool, selector, Budget(sentences=len(pool)), store=store), store=store
        )


def chance(store: Store) -> None:
    """The model's losses, and random draws under every criterion at the budget that Compare opens with."""
    pool = load_pool(load_corpus("demo"), "mini", store=store)
    found = compare(pool, [make_selector("token_od")], Budget(sentences=COMPARED), store=store)
    print(f"{found.baseline('tokens').label}: {found.draws} scored")


if __name__ == "__main__":
    main()
