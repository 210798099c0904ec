"""The parts of the Compare page in numbers: every criterion, gain against length, lengths and topics of the picks."""

from __future__ import annotations

import numpy as np
import streamlit as st

from fishersft.design.trajectory import Curve, band_curve
from fishersft.plots import compare as compare_plots
from fishersft.scoring.comparison import LEAST_DRAWS, Comparison, topics_of
from fishersft.scoring.criteria import BETTER, CRITERIA, HIGHER
from fishersft.scoring.random_baseline import drawn
from fishersft.scoring.summaries import number, span, standing
from fishersft.selectors import criterion_of
from fishersft.ui import cached, components, query_widgets
from fishersft.ui.compare.view import CompareView, order_of
from fishersft.ui.components import dark, escape_markdown, helped, one_line

MARKS = {"better than": " ▲", "worse than": " ▼"}
SHARES = ("share_of_optimum", "near_target", "on_target")


def criteria(found: Comparison) -> None:
    """Each selection under every criterion, each selector's own among them."""
    said = "The text below the table explains what each line measures."
    terms = ("worst leverage", "certificate", "Stein's loss", "log det")
    st.header("Each selection under every criterion", anchor=False, help=helped(said, *terms))
    same = found.baseline()
    column, total = found.topic
    lines = []
    for criterion, said in CRITERIA.items():
        if all(np.isnan(row.span(criterion)[0]) for row in found.chosen.values()):
            continue
        goal = "" if criterion not in BETTER else "higher" if BETTER[criterion] == HIGHER else "lower"
        title = f"{said} of {total} ({one_line(column, 24)})" if criterion == "topics" else said
        line = {"criterion": title, "better": goal}
        for row in found.chosen.values():
            value, own = row.value(criterion), " ◆" if criterion_of(row.name) == criterion else ""
            line[row.label] = f"{_shown(criterion, value)}{MARKS.get(standing(value, same, criterion), '')}{own}"
        for row in found.baselines.values():
            low, high = (_shown(criterion, v) for v in row.span(criterion)[1:])
            between = f"{low} to {high}" if criterion in SHARES and low else span(row, criterion)
            line[row.label] = low if low == high else between
        line["whole pool"] = _shown(criterion, float(getattr(found.pool, criterion)))
        lines.append(line)
    look = {
        "criterion": st.column_config.TextColumn("criterion", width=230, pinned=True),
        "better": st.column_config.TextColumn("better", width=64, help="Which direction is better; blank if neither is."),
    }
    alt = "Each selection under every criterion, beside random draws and the whole pool"
    components.table(lines, alt, key="criteria-table", height="content", column_config=look)
    st.caption(
        f"▲ better and ▼ worse than all {found.draws} random draws at equal {found.equal}; no mark: within their range. "
        "◆ marks what a selector's own rule is greedy for (selectors that draw have none). Leverage is the variance of a "
        "prediction along a token row of the pool; the radius is the farthest sentence mean from its nearest pick; Stein's loss "
        "is how far the picks' second moment is from the pool's; log det of the means and of rows weighted by the model's "
        "uncertainty belong to the designs of SentenceOD and FisherOD. The share of the optimum is proven, for this budget only."
    )
    if found.target:
        st.caption(
            "On the target everything is measured on its half that did not choose: the mean variance of a prediction there, "
            "tr(M V⁻¹), and Stein's loss, how far the picks' second moment is from the target's. Near the target is a record "
            "whose cosine with its nearest choosing text is at least that of half of the measuring texts."
        )


def _shown(criterion: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    if criterion in ("near_target", "on_target"):
        return f"{value:.0%}"
    return f"{np.floor(value * 1000) / 10:.1f}%" if criterion == "share_of_optimum" else number(value)


def lengths(view: CompareView) -> None:
    """What length alone explains: log det along the budget, and the lengths and perplexities of the picks."""
    said = "What each selection adds to the design matrix beyond random draws, and how long its picks are."
    st.header("Gain against length", anchor=False, help=helped(said, "log det", "random draws", "length"))
    left, right = st.columns([3, 2], gap="large")
    with left:
        _lead(view)
    with right:
        draws, scorer = _draws(view), cached.scorer(view.pool)
        _spread(view, "Length", "trained tokens a sentence", view.pool.tokens.astype(float), draws)
        if scorer.statistics is not None:
            perplexities = np.exp(scorer.statistics.mean_losses)
            _spread(view, "Perplexity before any tuning", "perplexity of a sentence", perplexities, draws, log=True)
        st.caption(
            "The thin line runs from the 5th to the 95th percentile, the thick one over the middle half; the mark is the median. "
            f"Grey: the range of the medians of {len(draws)} random draws at equal {view.equal}."
        )


def _lead(view: CompareView) -> None:
    """How much more than the mean random draw every selector gains along the budget, with the band of the draws."""
    tokens, rows = view.equal == "tokens", view.pool.embeddings
    unit = "trained tokens" if tokens else "sentences"
    orders = [order_of(view.pool, selector, view.seed) for selector in view.selectors]
    spent = [np.cumsum(rows.tokens[order.positions]) for order in orders]
    most = max(int(s[-1]) for s in spent)
    band = cached.band(rows, cached.reach(view.pool), cached.most_tokens(view.pool))
    x, draws = band.up_to(most if tokens else max(map(len, orders)), tokens=tokens)
    curves = [("uniform", band_curve("Uniform", x, draws - draws.mean(0), unit))]
    for selector, row, order, upto in zip(view.selectors, view.rows, orders, spent, strict=True):
        at, f = cached.gain_of(rows, order, selector, view.seed if selector.random else 0)
        along = upto[at - 1] if tokens else at
        curves.append((selector.name, Curve(row.label, along, f - band.at(along, tokens=tokens).mean(0), unit)))
    said = "The whole budget on a log axis: the first picks are where selectors differ most."
    log = query_widgets.toggle("From the first pick", "log", help=said)
    budget = view.spent(view.rows[0]) if tokens else view.n
    fig = compare_plots.lead_curves(curves, budget=budget, log=log, dark=dark(), height=360)
    leads = "; ".join(f"{c.label} {float(np.interp(budget, c.x, c.mean)):+,.1f}" for _, c in curves[1:])
    alt = f"At the budget, nats of log det more than the mean of {len(draws)} random draws: {leads}."
    components.still_chart(fig, "gain-chart", alt, "compare-gain")
    st.caption(
        f"log det gained beyond the mean of {len(draws)} random draws of as many {unit}, by TokenOD's criterion for all of them; "
        "grey: the full range of the draws; dotted: the budget. Equal, above, switches between tokens and sentences."
    )


def _spread(view: CompareView, title: str, unit: str, values: np.ndarray, draws: list[np.ndarray], *, log: bool = False) -> None:
    rows = [*((s.name, s.label, values[s.positions]) for s in view.rows), ("", "the pool", values)]
    medians = [float(np.median(values[d])) for d in draws]
    st.markdown(f"**{title}**")
    fig = compare_plots.spreads(rows, (min(medians), max(medians)), unit, log=log, dark=dark())
    said = "; ".join(f"{label} {components.number(float(np.median(some)))}" for _, label, some in rows)
    alt = f"{title}, medians of {unit}: {said}; random draws {components.spread(medians)}."
    components.still_chart(fig, f"spread-{title}", alt, "compare-spread")


def topics(view: CompareView) -> None:
    """Which values of the corpus' first column the picks have, beside the pool and random draws."""
    column, values = topics_of(view.pool)
    assert values is not None, "without a column of topics there is no such part"
    names, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    places = np.argsort(-counts, kind="stable")

    def shares(some: np.ndarray) -> np.ndarray:
        return np.bincount(codes[some], minlength=len(names))[places] / max(len(some), 1)

    picked = [(s, shares(s.positions)) for s in view.rows]
    everything, chance = shares(np.arange(len(view.pool))), np.stack([shares(d) for d in _draws(view)])
    said = "Which share of the picks has each value, beside the pool and random draws."
    st.header(f"Values of {escape_markdown(one_line(column, 24))}", anchor=False, help=helped(said, "coverage"))
    fig = compare_plots.topic_shares([str(names[p]) for p in places], everything, chance, picked, dark=dark())
    far = [f"{s.label} differs most from the pool in {names[places[np.abs(share - everything).argmax()]]}" for s, share in picked]
    alt = one_line(f"Share of the picks by {column}. {'; '.join(far)}.", 400)
    components.still_chart(fig, "topics-chart", alt, "compare-topics")
    st.caption("Most frequent in the pool first. The upright tick is the pool, the grey bar the range of the random draws.")


def _draws(view: CompareView) -> list[np.ndarray]:
    """The random draws of as many sentences, or of as many tokens, as the first selector takes."""
    amount = view.n if view.equal == "sentences" else view.spent(view.rows[0])
    return drawn(view.pool.tokens, view.equal, amount, LEAST_DRAWS, view.seed)
