"""The Compare page in numbers: criteria, gain, the picks, transfer to another model, and the evidence that ships."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.design.trajectory import Curve, band_curve
from fishersft.experiments.evidence import Evidence, Finding
from fishersft.pipeline import embed_and_select
from fishersft.plots import base as plots
from fishersft.plots import compare as compare_plots
from fishersft.scoring.comparison import Comparison, short
from fishersft.scoring.criteria import BETTER, CRITERIA, HIGHER
from fishersft.scoring.random_baseline import drawn
from fishersft.scoring.summaries import comparison_sentences, number, span, standing
from fishersft.selectors import Budget, Pool, Selector, criterion_of, registry
from fishersft.text import duration
from fishersft.ui import cached, components, query_widgets
from fishersft.ui.address import write_value
from fishersft.ui.compare.view import AT_ONCE, CompareView
from fishersft.ui.components import dark, escape_markdown, helped, one_line
from fishersft.ui.corpus import compute
from fishersft.ui.session import Session, public

COMPARED = "demo, equal tokens"
WORLDS = {"imbalanced world": "imbalanced clusters", "homogeneous world": "isotropic rows", "demo": "demo under mini"}
EQUAL = "all at its tokens"
MARKS = {"better than": " ▲", "worse than": " ▼"}


def gain_panel(view: CompareView) -> None:
    """log det against length for every selector, with the band of random draws."""
    said = "What each selection adds to the design matrix, beside a band of random draws."
    st.subheader("Gain against length", anchor="gain", help=helped(said, "log det", "random draws"))
    tokens, rows = view.equal == "tokens", view.pool.embeddings
    unit = "trained tokens" if tokens else "sentences"
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
    fig = plots.gain_curves(curves, budget=budget, log=log, dark=dark(), height=330)
    said = f"log det gained in nats against {unit}: {', '.join(s.label for s in view.rows)}, and random draws as a band."
    components.still_chart(fig, "gain-chart", said, "compare-gain")
    st.caption(
        f"log det of the design matrix over the empty selection, by TokenOD's criterion for every selector, against {unit}; "
        f"switch Equal for the other axis. Grey: mean and full range of {len(band.first)} random draws; dotted: the budget."
    )


def criteria_panel(view: CompareView) -> None:
    """Each selection under every criterion, each selector's own among them."""
    said = "The text below the table explains what each line measures."
    terms = ("worst leverage", "certificate", "Stein's loss", "log det")
    st.subheader("Each selection under every criterion", anchor="criteria", help=helped(said, *terms))
    found = view.found
    same = found.baseline()
    column, total = found.topic
    lines = []
    for criterion, said in CRITERIA.items():
        if all(np.isnan(row.span(criterion)[0]) for row in found.chosen.values()):
            continue
        goal = {HIGHER: "higher"}.get(BETTER[criterion], "lower") if criterion in BETTER else ""
        title = f"{said} of {total} ({one_line(column, 24)})" if criterion == "topics" else said
        line = {"criterion": title, "better": goal}
        for row in found.chosen.values():
            value, own = row.value(criterion), " ◆" if criterion_of(row.name) == criterion else ""
            line[row.label] = f"{_shown(criterion, value)}{MARKS.get(standing(value, same, criterion), '')}{own}"
        for row in found.baselines.values():
            low, high = (_shown(criterion, v) for v in row.span(criterion)[1:])
            shares = ("share_of_optimum", "near_target", "on_target")
            between = f"{low} to {high}" if criterion in shares else span(row, criterion)
            line[row.label] = low if low == high else between
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
    if found.target:
        st.caption(
            "On the target everything is measured on its half that did not choose: the mean variance of a prediction there, "
            "tr(M V⁻¹), and Stein's loss, how far the picks' second moment is from the target's. Near the target is a record "
            "whose cosine with its nearest choosing text is at least that of half of the measuring texts."
        )


def _shown(criterion: str, value: float) -> str:
    if not np.isfinite(value):
        return "–"
    if criterion in ("near_target", "on_target"):
        return f"{value:.0%}"
    return f"{np.floor(value * 1000) / 10:.1f}%" if criterion == "share_of_optimum" else number(value)


def spreads_panel(view: CompareView) -> None:
    """Lengths, perplexity and topics of the picks against the pool's."""
    said = "Lengths, perplexity and topics, beside the pool and random draws."
    st.subheader("What the picks are like", anchor="picks", help=helped(said, "length", "coverage"))
    amount = view.n if view.equal == "sentences" else view.found.row().scores[0].tokens
    draws = drawn(view.pool.tokens, view.equal, amount, view.found.draws, view.seed)
    scorer = cached.scorer(view.pool)
    left, right = st.columns(2, gap="medium")
    with left:
        _spread(view, "Length", "trained tokens a sentence", view.pool.tokens.astype(float), draws)
        if scorer.statistics is not None:
            perplexities = np.exp(scorer.statistics.mean_losses)
            _spread(view, "Perplexity before any tuning", "perplexity of a sentence", perplexities, draws, log=True)
        st.caption(
            "The thin line runs from the 5th to the 95th percentile, the thick one over the middle half; the mark is the median. "
            f"Grey: the range of the medians of {len(draws)} random draws at equal {view.equal}."
        )
    with right:
        _topics(view, draws, scorer.topics)


def _spread(view: CompareView, title: str, unit: str, values: np.ndarray, draws: list[np.ndarray], *, log: bool = False) -> None:
    rows = [*((s.name, s.label, values[s.positions]) for s in view.rows), ("", "the pool", values)]
    medians = [float(np.median(values[d])) for d in draws]
    st.markdown(f"**{title}**")
    fig = compare_plots.spreads(rows, (min(medians), max(medians)), unit, log=log, dark=dark())
    said = "; ".join(f"{label} {components.number(float(np.median(some)))}" for _, label, some in rows)
    alt = f"{title}, medians of {unit}: {said}; random draws {components.spread(medians)}."
    components.still_chart(fig, f"spread-{title}", alt, "compare-spread")


def _topics(view: CompareView, draws: list[np.ndarray], topics: np.ndarray | None) -> None:
    if topics is None:
        st.markdown("**Topics**")
        st.info("This corpus has no column of topics; one named topic, language, source or the like would be counted here.")
        return
    column, _ = view.found.topic
    names, codes, counts = np.unique(topics, return_inverse=True, return_counts=True)
    places = np.argsort(-counts, kind="stable")

    def shares(some: np.ndarray) -> np.ndarray:
        return np.bincount(codes[some], minlength=len(names))[places] / max(len(some), 1)

    picked = [(s, shares(s.positions)) for s in view.rows]
    everything = shares(np.arange(len(view.pool)))
    st.markdown(f"**Values of {escape_markdown(one_line(column, 24))}**")
    chance = np.stack([shares(d) for d in draws])
    fig = compare_plots.topic_shares([str(names[p]) for p in places], everything, chance, picked, dark=dark())
    far = [f"{s.label} differs most from the pool in {names[places[np.abs(share - everything).argmax()]]}" for s, share in picked]
    alt = one_line(f"Share of the picks by {column}. {'; '.join(far)}.", 400)
    components.still_chart(fig, "topics-chart", alt, "compare-topics")
    st.caption("Most frequent in the pool first. The upright tick is the pool, the grey bar the range of the random draws.")


def transfer_panel(view: CompareView, session: Session) -> None:
    """Choose with one model, score under another: what the choice is worth to the model that will be fine-tuned."""
    st.subheader("Transfer", anchor="transfer")
    st.caption(
        f"The picks above were chosen with {escape_markdown(short(view.choice.model))}. Does a choice made with one "
        "model serve another, say a small model's choice a large model? Name the model to score under; its tokens are counted."
    )
    if public():
        st.info("This hosted demo has one model, mini; install fishersft to score under another.", icon=":material/lock:")
        return
    wanted = _scoring_model(session)
    if not wanted:
        return
    choice = replace(view.choice, model=wanted)
    embeddings = cached.embeddings(choice)
    if embeddings is None:
        st.markdown(f"{escape_markdown(short(wanted))} has not read this corpus yet.")
        if compute(choice, cached.layout(choice)):
            st.rerun()
        return
    if (found := _scored_under(view, cached.pool(choice, embeddings))) is not None:
        _transfer_table(found)


def _scoring_model(session: Session) -> str:
    """The model that scores, "" for none; kept in the session and in the address, as the other model is."""
    if "score" in st.query_params and "compare-score" not in st.session_state:
        session.score_model = st.query_params["score"][:300]
    wanted = st.text_input(
        "Model that scores",
        value=session.score_model,
        key="compare-score",
        placeholder="gpt2, or a folder",
        max_chars=300,
        help="mini, a folder with config.json and safetensors, or a hub id such as gpt2.",
    ).strip()
    session.score_model = wanted
    write_value("score", wanted)
    if wanted == session.choice.model:
        st.info("That is the model that chose; name another one to see the difference.", icon=":material/info:")
        return ""
    return wanted


def _scored_under(view: CompareView, under: Pool) -> Comparison | None:
    """The comparison under the other model; where that takes long, first a button that says how long."""
    budget = Budget(sentences=min(view.n, len(under)))

    def stored(selector: Selector) -> bool:
        return embed_and_select.stored_order(under, selector, budget, view.seed if selector.random else 0) is not None

    missing = [s for s in view.selectors if not stored(s)]
    times = [cached.expected(under, s) for s in missing]
    about = sum(t or 0 for t in times)
    if about > AT_ONCE or None in times:
        labels = ", ".join(s.label for s in missing)
        how_long = f"at most about {duration(about)}" if None not in times else "which takes an unknown time"
        row = st.container(horizontal=True, vertical_alignment="center")
        go = row.button("Score under it", type="primary", icon=":material/play_arrow:")
        row.caption(f"{labels} must also choose with that model once, {how_long}; the transfer is measured against those picks.")
        if not go:
            return None
    return cached.comparison(view.pool, view.selectors, view.n, view.equal, view.seed, under)


def _transfer_table(found: Comparison) -> None:
    """One line a selector: chosen by the one, by the other, by chance."""
    under = short(found.score_model)
    lines = []
    for name, away in found.chosen.items():
        home = found.home[name]
        a, h = away.scores[0], home.scores[0]
        shared = np.intersect1d(away.positions, home.positions)
        lines.append(
            {
                "selector": away.label,
                f"log det, chosen by {short(found.model)}": number(a.log_det),
                f"log det, chosen by {under}": number(h.log_det),
                "random draws": span(found.baseline(), "log_det"),
                "shared picks": f"{len(shared):,} of {a.sentences:,}",
                "worst leverage": f"{number(a.worst_leverage)} ({number(h.worst_leverage)})",
                f"tokens of {under}": f"{a.tokens:,} ({h.tokens:,})",
            }
        )
    look: dict[str, Any] = {"hide_index": True, "row_height": 34, "height": 40 + 34 * len(lines)}
    st.dataframe(pd.DataFrame(lines), key="transfer-table", alt=f"What the picks are worth under {under}", **look)
    st.markdown(escape_markdown(comparison_sentences(found)[-2]))
    st.caption(
        f"All scored under {escape_markdown(under)} at equal {found.equal}; log det in nats over the empty selection; "
        f"in brackets: chosen by {escape_markdown(under)} itself. Random draws: {found.draws} at the same budget."
    )


def advice_panel() -> None:
    """The table; numbers come from the evidence that ships, and are named as missing where there is none."""
    said = "These lessons explain optimal design, coverage, and matching the pool."
    st.subheader("Which selector should I use?", anchor="which", help=helped(said, "log det", "coverage", "MatchedOD"))
    known = cached.evidence()
    with st.container(key="advice"):
        st.table(_advice(known), border="horizontal", alt="What each selector is for, what it costs, and its evidence")
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
    columns: dict[str, tuple[str, str]] = {}  # {heading: what was measured and where}; several places may show one number
    for f in _known.findings:
        if f.where.startswith(COMPARED):
            columns.setdefault(f"{f.what}; chance {number(f.chance_low)} to {number(f.chance_high)}", (f.what, COMPARED))
    for world, sign in WORLDS.items():
        for f in _known.findings:
            if sign in f.where and EQUAL in f.where:
                heading = f"error, {world}; Uniform {number(f.chance_low)} to {number(f.chance_high)}"
                columns[heading] = (f.what, f.where)
                break
    rows = []
    for name, kind in registry().items():
        cost = _known.costs.get(name)
        row = {
            "Selector": f"**{escape_markdown(kind.label)}**",
            "What it is for": escape_markdown(kind.purpose or kind.summary),
            "Time": f"{number(cost.seconds)} s" if cost else "not measured",
        }
        for heading, (what, where) in columns.items():
            here = [f for f in _known.of(name) if f.what == what and f.where.startswith(where)]
            row[heading] = _finding(here[0]) if here else "not measured"
        rows.append(row)
    return pd.DataFrame(rows).set_index("Selector")


def _finding(finding: Finding) -> str:
    """A number, with where it stands to chance."""
    own = "" if np.isnan(finding.low) else f" ({number(finding.low)} to {number(finding.high)})"
    return f"{number(finding.value)}{own}{ {'better': ' ▲', 'worse': ' ▼'}.get(finding.stands, '') }"
