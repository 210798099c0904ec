"""The report of a kept selection: what was asked, what it gained beside chance, where the picks are, the first of them.

Where the corpus or its embeddings are gone, the report says so and shows what the picks alone tell.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fishersft.corpus.records import Corpus, example_of
from fishersft.design.rows import TokenEmbeddings
from fishersft.design.trajectory import Curve, band_curve, grid, log_det_at, within_tokens
from fishersft.errors import FisherSFTError
from fishersft.export.html import Block, Code, Figure, Page, Paragraph, Section, Table, table_of
from fishersft.export.provenance import Origin, command_of, origin_of, provenance_of, python_of
from fishersft.pipeline.selections import BY_HAND, Kept
from fishersft.plots import sentence_map
from fishersft.plots.base import gain_curves
from fishersft.scoring import precomputed, projection
from fishersft.selectors import DEFAULT_SELECTOR, make_selector, registry

FIRST = 50  # picks that are written out
POINTS = 300  # of a curve
LONGEST_TEXT = 600


def selection_page(kept: Kept, origin: Origin | None = None) -> Page:
    """The report; the corpus and its embeddings are looked for where they are not given."""
    m, gone = kept.manifest, ""
    kind = registry().get(str(m["selector"]))
    label = kind.label if kind else "By hand" if m["selector"] == BY_HAND else str(m["selector"])
    try:
        origin = origin or origin_of(kept)
    except FisherSFTError as error:
        gone = str(error)
    share = m["proven_share_of_optimum"]
    summary = (
        f"{m['tokens']:,} of {m['pool_tokens']:,} trained tokens; the log det of their rows rose by {m['log_det']:,.1f} nats"
        + (f", provably at least {share:.1%} of what any {len(kept.picks):,} sentences could gain." if share else ".")
    )
    parts = [Section("What was asked", (table_of("Names, fingerprints and versions", [*provenance_of(kept).items()]),))]
    parts.append(
        Section("What it gained", tuple(_gained(kept, label, *origin)) if origin else (Paragraph(gone), *_own_gains(kept, label)))
    )
    if origin:
        parts.append(Section("Where the picks are", (_map(kept, label, *origin),)))
    files = [Code("Its files", f"fishersft export {kept.id} --format dataset --out {kept.name}-dataset")] if kept.id else []
    again = (Code("Command line", command_of(kept, shared=True)), *files, Code("Python", python_of(kept, shared=True)))
    parts += [Section("The picks", (_picks(kept),)), Section("How to reproduce it", again)]
    what = f"{len(kept.picks):,} of {m['pool']:,} sentences of {m['corpus']}"
    title = f"{what}, chosen by hand" if m["selector"] == BY_HAND else f"{label} chose {what}"
    title = f"{m['name']}: {title}" if m.get("name") else title
    return Page(title, kept.id, summary, tuple(parts))


def _gained(kept: Kept, label: str, corpus: Corpus, rows: TokenEmbeddings) -> list[Block]:
    n = len(kept.picks)
    order = np.searchsorted(rows.index, kept.picks["index"].to_numpy())
    longest = np.argsort(-rows.tokens, kind="stable")
    spent = np.cumsum(rows.tokens[order])
    asked = kept.manifest["selector_parameters"].get("sigma2") if kept.manifest["selector"] == DEFAULT_SELECTOR else None
    sigma2 = float(make_selector(DEFAULT_SELECTOR, {} if asked is None else {"sigma2": asked}).sigma2)  # type: ignore[attr-defined]
    at = grid(n, POINTS)
    f = log_det_at(rows, order, at, sigma2)
    band = precomputed.band(rows, n, int(spent[-1]), sigma2=sigma2)
    fits = int(within_tokens(rows.tokens[longest], spent[-1:])[0])
    far = grid(max(n, fits), POINTS)
    long_f, long_spent = log_det_at(rows, longest, far, sigma2), np.cumsum(rows.tokens[longest])[far - 1]
    name = str(kept.manifest["selector"])

    def curves(unit: str) -> list[tuple[str, Curve]]:
        tokens = unit == "trained tokens"
        reach = int(spent[-1]) if tokens else n
        inside = long_spent <= spent[-1] if tokens else far <= n
        found = [("uniform", band_curve("Uniform", *band.up_to(reach, tokens=tokens), unit))]
        if inside.any() and name != "longest":
            found.append(("longest", Curve("Longest", (long_spent if tokens else far)[inside], long_f[inside], unit)))
        return [*found, (name, Curve(label, spent[at - 1] if tokens else at, f, unit))]

    ends = {"sentences": float(n), "trained tokens": float(spent[-1])}
    figures = [
        Figure.of(
            partial(gain_curves, curves(unit), budget=end, height=360),
            f"{kept.name}-gain-by-{unit.split()[-1]}",
            f"log det gained in nats against {unit}: {label}, uniform draws as a band, and Longest.",
            f"By {unit}. Grey: mean and full range of {len(band.uniform_by_tokens)} uniform draws; dashed: the longest first; "
            "dotted: where the selection ends.",
        )
        for unit, end in ends.items()
    ]
    by_number, by_tokens = band.uniform_by_sentences[:, -1], band.uniform_by_tokens[:, -1]
    table = Table(
        "log det gained at the selection's end, nats; for Uniform the mean and the full range of its draws",
        ("", f"as many sentences ({n:,})", f"as many trained tokens ({int(spent[-1]):,})"),
        (
            (label, f"{f[-1]:,.1f}", f"{f[-1]:,.1f}"),
            ("Uniform", _range(by_number), _range(by_tokens)),
            ("Longest", f"{np.interp(n, far, long_f):,.1f}", f"{np.interp(fits, far, long_f):,.1f}" if fits else "–"),
        ),
    )
    words = "log det of the design matrix under TokenOD's criterion. A larger one is not yet a better fine-tuned model."
    return [Paragraph(words), *figures, table]


def _range(draws: np.ndarray) -> str:
    return f"{draws.mean():,.1f} ({draws.min():,.1f} to {draws.max():,.1f})"


def _own_gains(kept: Kept, label: str) -> list[Block]:
    """What the picks know of themselves: the gains they were picked for."""
    gains = kept.picks["gain"].to_numpy(dtype=float)
    if np.isnan(gains).all():
        return []
    curve = Curve(label, np.arange(1, len(gains) + 1), np.cumsum(gains), "sentences")
    draw = partial(gain_curves, [(str(kept.manifest["selector"]), curve)], budget=float(len(gains)), height=360)
    says = "The gains that the picks were chosen for, summed, against their number."
    return [Figure.of(draw, f"{kept.name}-gain", says, says)]


def _map(kept: Kept, label: str, corpus: Corpus, rows: TokenEmbeddings) -> Figure:
    rank = np.zeros(len(rows), dtype=np.int64)
    rank[np.searchsorted(rows.index, kept.picks["index"].to_numpy())] = kept.picks["rank"]
    points = sentence_map.Points(projection.map_of(rows).xy, rows.index, rank, np.zeros(len(rows), bool))
    look: dict[str, Any] = {"colour_by": "selection", "values": None, "selector": str(kept.manifest["selector"]), "height": 560}
    return Figure.of(
        partial(sentence_map.sentence_map, points, **look),
        f"{kept.name}-map",
        f"Map of {len(rows):,} sentences; the {len(kept.picks):,} picks of {label} are larger and on top.",
        f"UMAP of {len(rows):,} sentence means in {rows.dimension} dimensions, for the eye: the choice is made on token rows.",
    )


def _picks(kept: Kept) -> Table:
    first = kept.picks.head(FIRST)
    numbers = zip(first["rank"], first["index"], first["gain"].astype(float), first["tokens"], strict=True)
    rows = tuple(
        (f"{rank:,}", f"{index:,}", "–" if np.isnan(gain) else f"{gain:,.2f}", f"{tokens:,}", _text(example))
        for (rank, index, gain, tokens), example in zip(numbers, kept.examples[:FIRST], strict=True)
    )
    left_out = len(kept.picks) - len(first)
    caption = f"The first {len(first):,} picks in order" if left_out else f"All {len(first):,} picks in order"
    more = f"; the other {left_out:,} are in the exported files" if left_out else ""
    return Table(f"{caption}{more}. The gain is in nats.", ("pick", "record", "gain", "tokens", "text"), rows, wide=(4,))


def _text(example: dict[str, Any]) -> str:
    whole = example_of(example).display()
    return whole if len(whole) <= LONGEST_TEXT else f"{whole[:LONGEST_TEXT]}…"
