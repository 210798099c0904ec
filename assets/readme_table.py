"""Print the README's table: four selectors on the demo at 120 sentences, and the random draws at equal sentences and tokens."""

import numpy as np

from fishersft import Budget, Pool, embed, load_corpus, make_selector
from fishersft.curves.gain import draw_orders, log_det_at, within_tokens

N = 120


def main() -> None:
    corpus = load_corpus("demo")
    rows = embed(corpus)
    pool = Pool(rows, corpus)
    topics = corpus.fields["topic"].to_numpy()[rows.index]

    def line(name: str, orders: list[np.ndarray]) -> str:
        tokens = [int(rows.tokens[o].sum()) for o in orders]
        f = [float(log_det_at(rows, o, [len(o)])[0]) for o in orders]
        covered = [len(set(topics[o])) for o in orders]
        sizes = [len(o) for o in orders]
        return f"| {name} | {span(sizes)} | {span(tokens)} | {span(f)} | {span(covered)} |"

    print("| selection | sentences | trained tokens | log det gained (nats) | topics of 16 |\n|---|---|---|---|---|")
    for name in ("token_od", "longest", "sentence_od"):
        selector = make_selector(name)
        print(line(selector.label, [selector.take(pool, Budget(sentences=N)).positions]))
    spent = int(rows.tokens[make_selector("token_od").take(pool, Budget(sentences=N)).positions].sum())
    draws = draw_orders(len(pool))
    print(line("Uniform, equal sentences, 20 draws", [o[:N] for o in draws]))
    print(line("Uniform, TokenOD's tokens, 20 draws", [o[: within_tokens(rows.tokens[o], np.array([spent]))[0]] for o in draws]))


def span(values: list[float] | list[int]) -> str:
    low, high = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
