"""The Compare page in numbers: every criterion, gain against length, what the picks are like, and the evidence that ships."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.design.trajectory import Curve, band_curve
from fishersft.experiments.evidence import Evidence, Finding
from fishersft.plots import base as plots
from fishersft.plots import compare as compare_plots
from fishersft.plots.compare import Spread, spread_of
from fishersft.scoring.comparison import Row
from fishersft.scoring.criteria import BETTER, CRITERIA, HIGHER
from fishersft.scoring.random_baseline import drawn
from fishersft.scoring.summaries import number, span, standing
from fishersft.selectors import criterion_of, registry
from fishersft.ui import cached, components, learn, query_widgets
from fishersft.ui.compare.view import CompareView, scorer
from fishersft.ui.components import dark

COMPARED = "demo, equal tokens"
WORLDS = {"imbalanced world": "imbalanced clusters", "homogeneous world": "isotropic rows", "demo": "demo under mini"}
EQUAL = "all at its tokens"
MARKS = {"better than": " ▲", "worse than": " ▼"}


def gain_panel(view: CompareView) -> None:
    """log det against length for every selector, with the band of random draws."""
    said = "What each selection adds to the design matrix, beside a band of random draws."
    st.subheader("Gain against length", anchor="gain", help=learn.helped(said, "log det", "random draws"))
    tokens = view.equal == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    rows = view.pool.embeddings
    orders = [cached.order_now(view.pool, s, view.seed if s.random else 0) for s in view.selectors]
    most = max(int(rows.tokens[o.positions].sum()) for o in orders)
    band = cached.band(rows, max(map(len, orders)), most)
    reach = most if tokens else max(map(len, orders))
    curves = [("uniform", band_curve("Uniform", *band.up_to(reach, tokens=tokens), unit))]
    for selector, row, order in zip(view.selectors, view.rows, orders, strict=True):
        at, f = cached.gain_of(rows, order, selector, view.seed if selector.random else 0)
        along = np.cumsum(rows.tokens[order.positions])[at - 1] if tokens else at
        curves.append((selector.name, Curve(row.label, along, f, unit)))
    log = query_widgets.toggle("Log axes", "log", help="Shows the first picks, where selectors differ most.")
    budget = view.found.row().scores[0].tokens if tokens else view.n
    st.plotly_chart(
        plots.gain_curves(curves, budget=budget, log=log, dark=dark(), height=330),
        theme=None,
        config=components.camera("compare-gain"),
        key="gain-chart",
        alt=f"log det gained in nats against {unit}: {', '.join(s.label for s in view.rows)}, and random draws as a band.",
    )
    st.caption(
        f"log det of the design matrix over the empty selection, by TokenOD's criterion for every selector, against {unit}; "
        f"switch Equal for the other axis. Grey: mean and full range of {len(band.first)} random draws; dotted: the budget."
    )


def criteria_panel(view: CompareView) -> None:
    """Each selection under every criterion, each selector's own among them."""
    said = "The text below the table explains what each line measures."
    terms = ("worst leverage", "certificate", "Stein's loss", "log det")
    st.subheader("Each selection under every criterion", anchor="criteria", help=learn.helped(said, *terms))
    found = view.found
    same = found.baseline()
    column, total = found.topic
    lines = []
    for criterion, said in CRITERIA.items():
        if all(np.isnan(row.span(criterion)[0]) for row in found.chosen.values()):
            continue
        goal = {HIGHER: "higher"}.get(BETTER[criterion], "lower") if criterion in BETTER else ""
        title = f"{said} of {total} ({components.one_line(column, 24)})" if criterion == "topics" else said
        line = {"criterion": title, "better": goal}
        for row in found.chosen.values():
            value = row.value(criterion)
            own = " ◆" if criterion_of(row.name) == criterion else ""
            line[row.label] = f"{_shown(criterion, value)}{MARKS.get(standing(value, same, criterion), '')}{own}"
        for row in found.baselines.values():
            line[row.label] = _range(criterion, row)
        line["whole pool"] = _shown(criterion, float(getattr(found.pool, criterion)))
        lines.append(line)
    st.dataframe(
        pd.DataFrame(lines),
        hide_index=True,
        row_height=34,
        height=40 + 34 * len(lines),
        key="criteria-table",
        alt="Each selection under every criterion, beside random draws and the whole pool",
        column_config={
            "criterion": st.column_config.TextColumn("criterion", width=230, pinned=True),
            "better": st.column_config.TextColumn("better", width=64, help="Which direction is better; blank if neither is."),
        },
    )
    st.caption(
        f"▲ better and ▼ worse than all {found.draws} random draws at equal {found.equal}; no mark: within their range. "
        "◆ marks what a selector's own rule is greedy for (selectors that draw have none). Leverage is the variance of a "
        "prediction along a token row of the pool; the radius is the farthest sentence mean from its nearest pick; Stein's loss "
        "is how far the picks' second moment is from the pool's; log det of the means and of rows weighted by the model's "
        "uncertainty belong to the designs of SentenceOD and FisherOD. The share of the optimum is proven, for this budget only."
    )


def _shown(criterion: str, value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{np.floor(value * 1000) / 10:.1f}%" if criterion == "share_of_optimum" else number(value)


def _range(criterion: str, row: Row) -> str:
    low, high = (_shown(criterion, v) for v in row.span(criterion)[1:])
    return low if low == high else (f"{low} to {high}" if criterion == "share_of_optimum" else span(row, criterion))


def spreads_panel(view: CompareView) -> None:
    """Lengths, perplexity and topics of the picks against the pool's."""
    said = "Lengths, perplexity and topics, beside the pool and random draws."
    st.subheader("What the picks are like", anchor="picks", help=learn.helped(said, "length", "coverage"))
    amount = view.n if view.equal == "sentences" else view.found.row().scores[0].tokens
    draws = drawn(view.pool.tokens, view.equal, amount, view.found.draws, view.seed)
    left, right = st.columns(2, gap="medium")
    with left:
        _spread(view, "Length", "trained tokens a sentence", view.pool.tokens.astype(float), draws, log=False)
        statistics = scorer(view.pool).statistics
        if statistics is not None:
            _spread(
                view, "Perplexity before any tuning", "perplexity of a sentence", np.exp(statistics.mean_losses), draws, log=True
            )
        st.caption(
            "The thin line runs from the 5th to the 95th percentile, the thick one over the middle half; the mark is the median. "
            f"Grey: the range of the medians of {len(draws)} random draws at equal {view.equal}."
        )
    with right:
        _topics(view, draws)


def _spread(view: CompareView, title: str, unit: str, values: np.ndarray, draws: list[np.ndarray], *, log: bool) -> None:
    rows: list[Spread] = [spread_of(s.name, s.label, values[s.positions]) for s in view.rows]
    rows.append(spread_of("", "the pool", values))
    medians = [float(np.median(values[d])) for d in draws]
    st.markdown(f"**{title}**")
    said = "; ".join(f"{r.label} {components.number(float(r.quantiles[2]))}" for r in rows)
    st.plotly_chart(
        compare_plots.spreads(rows, (min(medians), max(medians)), unit, log=log, dark=dark()),
        theme=None,
        config=components.camera("compare-spread"),
        key=f"spread-{title}",
        alt=f"{title}, medians of {unit}: {said}; random draws {components.spread(medians)}.",
    )


def _topics(view: CompareView, draws: list[np.ndarray]) -> None:
    topics = scorer(view.pool).topics
    column, _ = view.found.topic
    if topics is None:
        st.markdown("**Topics**")
        st.info("This corpus has no column of topics; one named topic, language, source or the like would be counted here.")
        return
    names, codes = np.unique(topics, return_inverse=True)
    counts = np.bincount(codes)
    places = np.argsort(-counts, kind="stable")

    def shares(some: np.ndarray) -> np.ndarray:
        return np.bincount(codes[some], minlength=len(names))[places] / max(len(some), 1)

    picked = [(s, shares(s.positions)) for s in view.rows]
    everything = shares(np.arange(len(view.pool)))
    st.markdown(f"**Values of {components.escape_markdown(components.one_line(column, 24))}**")
    far = [f"{s.label} differs most from the pool in {names[places[np.abs(share - everything).argmax()]]}" for s, share in picked]
    st.plotly_chart(
        compare_plots.topic_shares(
            [str(names[p]) for p in places], everything, np.stack([shares(d) for d in draws]), picked, dark=dark()
        ),
        theme=None,
        config=components.camera("compare-topics"),
        key="topics-chart",
        alt=components.one_line(f"Share of the picks by {column}. {'; '.join(far)}.", 400),
    )
    st.caption("Most frequent in the pool first. The upright tick is the pool, the grey bar the range of the random draws.")


def advice_panel() -> None:
    """The table; numbers come from the evidence that ships, and are named as missing where there is none."""
    said = "These lessons explain optimal design, coverage, and matching the pool."
    st.subheader("Which selector should I use?", anchor="which", help=learn.helped(said, "log det", "coverage", "MatchedOD"))
    known = cached.evidence()
    table = _advice(known)
    with st.container(key="advice"):
        st.table(table, border="horizontal", alt="What each selector is for, what it costs, and its evidence")
    places = "; ".join(dict.fromkeys(f.where for f in known.findings if f.where.startswith(COMPARED)))
    st.caption(
        "▲ better and ▼ worse than chance; no mark: like chance. Time: to order the whole demo, on the machine that made the "
        f"numbers. Measured on: {places or 'nothing yet'}; chance is the range of random draws of as many tokens. "
        "Error: the largest prediction error against a known truth in the two worlds of Curves and on the demo, at the tokens of "
        "TokenOD's first 200 sentences, with its 95% interval. None of these numbers says which fine-tuned model is better; "
        "Generations does."
    )
    commands = list(dict.fromkeys(f.command for f in known.findings))
    with st.expander("The commands that made these numbers"):
        st.code("\n".join([*commands, "python assets/build_evidence.py  # the times"]), language="bash", wrap_lines=True)


@st.cache_data(max_entries=1, show_spinner=False)
def _advice(_known: Evidence) -> pd.DataFrame:
    measured = list(dict.fromkeys((f.what, f.chance_low, f.chance_high) for f in _known.findings if f.where.startswith(COMPARED)))
    truths = {
        world: (f.where, f.chance_low, f.chance_high)
        for f in _known.findings
        for world, sign in WORLDS.items()
        if sign in f.where and EQUAL in f.where
    }
    rows = []
    for name, kind in registry().items():
        cost, findings = _known.costs.get(name), _known.of(name)
        row = {
            "Selector": f"**{components.escape_markdown(kind.label)}**",
            "What it is for": components.escape_markdown(kind.purpose or kind.summary),
        }
        row["Time"] = f"{number(cost.seconds)} s" if cost else "not measured"
        for what, low, high in measured:
            here = [f for f in findings if f.what == what and f.where.startswith(COMPARED)]
            row[f"{what}; chance {number(low)} to {number(high)}"] = _finding(here[0]) if here else "not measured"
        for world, (where, low, high) in truths.items():
            here = [f for f in findings if f.where == where]
            row[f"error, {world}; Uniform {number(low)} to {number(high)}"] = _finding(here[0]) if here else "not measured"
        rows.append(row)
    return pd.DataFrame(rows).set_index("Selector")


def _finding(finding: Finding) -> str:
    """A number, with where it stands to chance."""
    own = "" if np.isnan(finding.low) else f" ({number(finding.low)} to {number(finding.high)})"
    return f"{number(finding.value)}{own}{ {'better': ' ▲', 'worse': ' ▼'}.get(finding.stands, '') }"
