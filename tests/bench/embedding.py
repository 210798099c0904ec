"""`python -m tests.bench embedding`: the rows of a corpus our way, one text a call, and at the model's own cost.

One text a call is how most examples are written: ids in, all hidden states and the logits out, the last hidden state kept.
Ours is `lm.embed.embed_into` as `embed` calls it: batches of like length, no head, rows to their place in a file.
The model's operations: 2 x (weights that multiply) x tokens, and 4 n^2 x (heads x their size) a layer for a text of n tokens.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fishersft.corpus.encode import MAX_TOKENS
from fishersft.errors import UserError
from fishersft.lm.embed import Plan, embed_into, plan, storage_dtype
from fishersft.lm.folder import effective_max_tokens
from fishersft.selectors.selection import check_seed
from tests.bench import machine
from tests.bench.report import table

if TYPE_CHECKING:
    from fishersft.corpus.records import Corpus
    from fishersft.lm.model import CausalLM

Progress = Callable[[str, int, int], None]
WARM_UP = 3  # texts read before any clock runs
ROUNDS = 3  # of each way at most, while its time box lasts; the quickest counts


@dataclass(frozen=True)
class Speed:
    """One way: texts and tokens read, in seconds; `largest_difference` of its rows from ours, relative to the largest entry."""

    way: str
    label: str
    texts: int
    tokens: int
    seconds: float
    largest_difference: float | None = None

    @property
    def tokens_a_second(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class EmbeddingReport:
    """One run of `bench embedding`: what was read, the ways (ours first), operations, peak and machine."""

    problem: dict[str, Any]
    rows: tuple[Speed, ...]
    facts: dict[str, Any]
    machine: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """What --json prints."""
        ours = self.rows[0].tokens_a_second
        rows = [
            {**asdict(r), "tokens_a_second": r.tokens_a_second, "ours_is_faster": ours / r.tokens_a_second} for r in self.rows
        ]
        return {**asdict(self), "rows": rows}

    def markdown(self) -> str:
        """A table and the lines under it."""
        p, f, m = self.problem, self.facts, self.machine
        ours = self.rows[0].tokens_a_second
        rows = [
            (
                r.label,
                f"{r.texts:,}",
                f"{r.tokens:,}",
                f"{r.seconds:,.2f} s",
                f"{r.tokens_a_second:,.0f}",
                f"{ours / r.tokens_a_second:.2g}",
                "-" if r.largest_difference is None else f"{r.largest_difference:.1g}",
            )
            for r in self.rows
        ]
        head = ("way", "texts", "tokens", "measured", "tokens a second", "ours is faster by", "rows differ by at most")
        lines = [
            f"A text takes {f['flops'] / p['texts'] / 1e9:,.3g} GFLOP on average ({f['weights']:,} weights that multiply, "
            f"attention {f['attention_share']:.1%}); the peak of a float32 product is {f['peak_float32'] / 1e9:,.0f} GFLOP/s.",
            f"At that peak the model alone takes {f['seconds_at_peak']:,.3g} s; ours takes {f['ours_over_its_flops']:,.2g} times "
            "that, writing the rows to disk included.",
            f"Threads: {f['threads']}; {m['cpus']} CPUs ({m['instructions']}), {m['system']}, Python {m['python']}, "
            f"torch {m['torch']}{', ' + m['gpu'] if 'gpu' in m else ''}.",
        ]
        start = (
            f"{p['texts']:,} texts of {p['corpus']} (mean {p['tokens'] / p['texts']:.1f} tokens, cut at {p['max_tokens']}), "
            f"model {p['model']}, d = {p['dimension']:,}, float32, seed {p['seed']}; the quickest of up to {ROUNDS} rounds."
        )
        return "\n\n".join([start, table(head, rows), "\n".join(f"- {line}" for line in lines)])


def run(
    corpus: Corpus,
    model: CausalLM,
    texts: int = 400,
    box_seconds: float = 30.0,
    seed: int = 0,
    *,
    max_tokens: int = MAX_TOKENS,
    threads: int | None = None,
    on_progress: Progress | None = None,
) -> EmbeddingReport:
    """Measure on at most `texts` records of the corpus, drawn by the seed.

    Raises:
        UserError: a number that makes no sense, or a corpus without a trained token.
    """
    import torch

    for name, value in (("texts", texts), ("box", box_seconds)):
        if not value > 0:
            raise UserError(f"--{name} must be above 0 and was {value}.")
    told: Progress = on_progress or (lambda what, done, total: None)
    limit, device = effective_max_tokens(max_tokens, model.context), str(model.device)
    with machine.threads(threads) as used:
        work = plan(_sample(corpus, texts, check_seed(seed)), model.tokenizer, limit)
        for e in work.encoded[:WARM_UP]:
            model.rows(_ids(e.ids))
        lengths = np.array([len(e.ids) for e in work.encoded])
        tokens = int(lengths.sum())
        dtype = storage_dtype(work.rows, model.dimension)
        with tempfile.TemporaryDirectory(prefix="fishersft-bench-") as folder:

            def ours() -> Speed:
                done = embed_into(Path(folder), work, model, dtype=dtype, on_progress=partial(told, "ours"))
                return Speed("ours", "**ours**", len(lengths), tokens, done["seconds"])

            first = ours()
            values = np.fromfile(Path(folder) / "values.bin", dtype=dtype).reshape(-1, model.dimension)
            ways = [ours] + [
                partial(_one_a_call, way, label, read, work, values, box_seconds, device, partial(told, way))
                for way, label, read in (
                    ("no_head", "one text a call, without logits", lambda ids: model.rows(ids)),
                    ("one_text", "one text a call, with logits", partial(_with_logits, model)),
                )
            ]
            rows = _best(ways, [first], box_seconds)
        done = rows[0].seconds
        weights, attention = model_flops(model, lengths)
        flops = 2.0 * weights * tokens + attention
        peak = machine.gemm_peak(torch.float32, device)
        facts = {
            "weights": weights,
            "flops": flops,
            "attention_share": attention / flops,
            "peak_float32": peak,
            "seconds_at_peak": flops / peak,
            "ours_over_its_flops": done / (flops / peak),
            "threads": used,
            "box_seconds": box_seconds,
        }
    problem = {
        "corpus": corpus.name,
        "model": model.name,
        "dimension": model.dimension,
        "texts": len(lengths),
        "tokens": tokens,
        "max_tokens": limit,
        "seed": seed,
    }
    return EmbeddingReport(problem, tuple(rows), facts, machine.describe(device))


def model_flops(model: CausalLM, lengths: np.ndarray) -> tuple[int, float]:
    """(weights that multiply every token, operations of attention over texts of these lengths).

    Weights are matrices of the network without its head; tables that are looked up (tokens, positions) multiply nothing.
    Attention is counted whole, as it is computed, though a causal model uses half of it.
    """
    import torch

    network: Any = model.network.base_model
    tables = {id(p) for m in network.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    weights = sum(p.numel() for p in network.parameters() if p.ndim >= 2 and id(p) not in tables)
    config = model.network.config
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    attention = 4.0 * config.num_hidden_layers * heads * size * float((lengths.astype(float) ** 2).sum())
    return weights, attention


def _sample(corpus: Corpus, texts: int, seed: int) -> Corpus:
    """At most so many records of the pool, in their order."""
    pool = corpus.pool_index
    some = np.sort(np.random.default_rng(seed).choice(pool, min(texts, len(pool)), replace=False))
    return replace(
        corpus,
        examples=tuple(corpus.examples[i] for i in some),
        fields=corpus.fields.iloc[some],
        held_out=np.zeros(len(some), dtype=bool),
    )


def _with_logits(model: CausalLM, ids: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model.network(input_ids=ids.to(model.device), output_hidden_states=True).hidden_states[-1]


def _ids(ids: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(ids.astype(np.int64))[None]


def _one_a_call(
    way: str,
    label: str,
    read: Callable[[Any], Any],
    work: Plan,
    values: np.ndarray,
    box: float,
    device: str,
    told: Callable[[int, int], None],
) -> Speed:
    """A way that reads one text after another, in the corpus's order, within its time box."""
    for e in work.encoded[:WARM_UP]:
        read(_ids(e.ids))
    texts = tokens = 0
    largest = 0.0
    seconds = 0.0
    total = sum(len(e.ids) for e in work.encoded)
    for position, e in enumerate(work.encoded):
        machine.wait_for(device)
        started = time.perf_counter()
        rows = read(_ids(e.ids))[0].float().cpu().numpy()[e.rows]
        seconds += time.perf_counter() - started
        ours = values[work.offsets[position] : work.offsets[position + 1]]
        largest = max(largest, _difference(rows, ours))
        texts, tokens = texts + 1, tokens + len(e.ids)
        told(tokens, total)
        if seconds > box:
            break
    return Speed(way, label, texts, tokens, seconds, largest)


def _best(ways: list[Callable[[], Speed]], measured: list[Speed], box: float) -> list[Speed]:
    """The quickest round of each way.  Rounds take turns, so that a moment's other work on the machine hits no way alone."""
    rounds = [list(measured)] + [[] for _ in ways[1:]]
    for _ in range(ROUNDS):
        for done, way in zip(rounds, ways, strict=True):
            if sum(r.seconds for r in done) < box and len(done) < ROUNDS:
                done.append(way())
    return [max(done, key=lambda r: r.tokens_a_second) for done in rounds]


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))
