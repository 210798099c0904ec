"""What a selection is worth, on the Explore page: the verdict, the curves beside random draws, and the numbers.

Random draws and the like are computed behind the page (`behind`), so each panel says what it can until they are there.
"""

from __future__ import annotations

import numpy as np
import streamlit as st

from fishersft.design.trajectory import Curve, band_curve, draw_orders, within_tokens
from fishersft.plots import base as plots
from fishersft.scoring.summaries import barely, beside
from fishersft.selectors import DEFAULT_SELECTOR, Order, make_selector
from fishersft.text import counted
from fishersft.ui import cached_target, components, query_widgets
from fishersft.ui.components import dark, escape_markdown, helped, number, one_line, spread, tile
from fishersft.ui.explore.sets import RecordSet
from fishersft.ui.explore.view import ExploreView

AROUND = 4  # times fewer and more tokens than the budget has: what the curve of differences shows


def verdict(view: ExploreView) -> None:
    """What the picks are worth at equal tokens, in a sentence or two."""
    if view.variance is not None:
        components.verdict(_target_verdict(view))
        return
    components.verdict(_gain_verdict(view), help=helped(LOG_DET, "log det", "random draws", "certificate"))


LOG_DET = (
    "log det is the natural logarithm of the determinant of the design matrix, in nats above the empty selection: how much the "
    "picks' token vectors tell a linear model. The random draws hold as many trained tokens as the picks, since a longer "
    "selection always gains more. A larger log det is not yet a better fine-tuned model: the Generations page measures that."
)


def _gain_verdict(view: ExploreView) -> str:
    b, n, spent = view.band, view.n, view.picked_tokens
    gained = f"{_picks(view)} gain{'s' if n == 1 else ''} **{number(view.f, 4)} nats** of log det with {spent:,} trained tokens"
    if b is None:
        return f"{gained[0].upper()}{gained[1:]}; random draws to compare them with are still being computed."
    draws = b.at(spent, tokens=True)[:, 0]
    longest = ""
    if view.selector.name != "longest" and view.longest_gain is not None:
        fits = within_tokens(view.pool.tokens[view.longest.positions], np.array([spent]))[0]
        longest = f" and the longest sentences first {number(float(np.interp(fits, *view.longest_gain)), 4)}"
    proven = ""
    if view.proven is not None:
        proven = f" That is at least {view.proven:.1%} of the best possible with {counted(n, 'sentence')}, guaranteed."
    beside = f"random draws with as many tokens {spread(draws, 4)}{longest}"
    model = " Whether it makes a better model, Generations measures."
    return f"**{_standing(view.f, draws)} at equal tokens**: {gained}, {beside}.{proven}{model}"


def _picks(view: ExploreView) -> str:
    return f"the {view.n:,} picks of {view.selector.label}" if view.n > 1 else f"the one pick of {view.selector.label}"


def _standing(value: float, draws: np.ndarray) -> str:
    """Where a gain stands among those of random draws."""
    stands = beside(value, float(draws.min()), float(draws.max()), 1)
    if stands == "better than" and barely(value, float(draws.mean())):
        return "Barely better than chance"
    return {"within": "No better than chance"}.get(stands, f"{stands.capitalize()} chance")


def _target_verdict(view: ExploreView) -> str:
    """How close the picks come to the target, and how unsure they leave a model there, beside random draws of as many tokens."""
    spent, pool = view.picked_tokens, view.pool
    losses, chance = view.chance_losses, view.chance_variance
    picked = f"{_picks(view)} with {spent:,} trained tokens"
    if losses is None or chance is None:
        return f"On the map: {picked}; random draws to compare them with are still being computed."
    near, loss = cached_target.near(pool), cached_target.loss(pool, view.picks)
    like, sure = _stands(loss, losses), _stands(view.variance_now, chance)
    lie = f"{near[view.picks].mean():.0%} of the picks lie near the target, against {near.mean():.0%} of the pool"
    if pool.target is not None and pool.target.column:
        values = view.corpus.fields[pool.target.column].iloc[pool.index[view.picks]].map(str)
        found, word = int(np.isin(values, pool.target.values).sum()), ", ".join(one_line(v, 30) for v in pool.target.values)
        lie += f"; {found:,} of them are {escape_markdown(f'{pool.target.column} = {word}')}"
    return (
        f"**{like[0].upper()}{like[1:]} chance at looking like the target, and {sure} chance at lowering the variance there**: "
        f"{picked} have a Stein's loss of {number(loss)} against {spread(losses)} of random draws, and leave a variance of "
        f"{number(view.variance_now)} against {spread(chance)}. {lie}."
    )


def _stands(value: float, chance: np.ndarray) -> str:
    """Where a number, of which less is better, stands to those of random draws."""
    return beside(value, float(chance.min()), float(chance.max()), -1).replace("within", "no better than")


def difference_panel(view: ExploreView) -> None:
    """What the selection gains over random draws of as many tokens, against the budget; with a target, what it does for that."""
    query_widgets.check_switch("log")  # of the numbers below, which may not be drawn
    if view.variance is not None:
        variance_panel(view)
        return
    said = "log det of the first picks minus the mean of 20 random draws of as many trained tokens; the band holds all draws."
    st.header("Gain over a random draw at equal tokens", help=helped(said, "equal tokens", "random draws"), anchor=False)
    if view.band is None or view.gain is None:
        st.caption("The random draws are still being computed.")
        return
    budget = view.picked_tokens
    x, draws = view.band.up_to(min(int(view.pool.tokens[view.order.positions].sum()), AROUND * budget), tokens=True)
    near = x >= budget / AROUND
    x, draws = x[near], draws[:, near]
    mean = draws.mean(0)
    unit, low, high = "trained tokens", draws.min(0) - mean, draws.max(0) - mean
    curves = [("uniform", Curve("Uniform", x, 0 * mean, unit, "nats", low, high, len(draws)))]
    for name, curve in _lines(view, tokens=True):
        within = (x >= curve.x[0]) & (x <= curve.x[-1])
        curves.append((name, Curve(curve.label, x[within], np.interp(x[within], curve.x, curve.mean) - mean[within], unit)))
    drawn = plots.gain_curves(curves, budget=budget, dark=dark(), height=200)
    drawn.update_layout(
        yaxis={"title": {"text": "nats above a random draw"}, "rangemode": "normal"}, xaxis={"rangemode": "normal"}
    )
    now = view.f - float(view.band.at(budget, tokens=True).mean())
    said = (
        f"With {budget:,} trained tokens {view.selector.label} gains {number(now)} nats more than the mean of 20 "
        "random draws of as many tokens; the lines show the same at budgets around it, and the band holds all draws."
    )
    components.still_chart(drawn, "difference-chart", said, "explore-difference")


def _lines(view: ExploreView, *, tokens: bool) -> list[tuple[str, Curve]]:
    """The selection, TokenOD and the longest first, by selector: log det against tokens or sentences."""
    pool = view.pool
    unit = "trained tokens" if tokens else "sentences"

    def line(label: str, order: Order, at: np.ndarray, f: np.ndarray) -> Curve:
        return Curve(label, np.cumsum(pool.tokens[order.positions])[at - 1] if tokens else at, f, unit)

    lines: list[tuple[str, Curve]] = []
    if (known := view.reference) is not None:
        lines.append((DEFAULT_SELECTOR, line("TokenOD", known, np.arange(1, len(known) + 1), np.cumsum(known.gains))))
    own = view.selector not in (make_selector("longest"), make_selector(DEFAULT_SELECTOR))
    if view.gain is not None and (own or not pool.is_free):
        lines.append((view.selector.name if pool.is_free else "what_if", line(_own_label(view), view.order, *view.gain)))
    if view.longest_gain is not None:
        lines.append(("longest", line("Longest", view.longest, *view.longest_gain)))  # last: it hides under TokenOD otherwise
    reach = int(pool.tokens[view.order.positions].sum()) if tokens else len(view.order)
    return [(name, _cut(curve, reach)) for name, curve in lines]


def _cut(curve: Curve, reach: float) -> Curve:
    within = curve.x <= reach
    return Curve(curve.label, curve.x[within], curve.mean[within], curve.x_unit)


def variance_panel(view: ExploreView) -> None:
    """How far the picks lower the variance on the target's measuring half, beside random draws and TokenOD."""
    pool, tokens = view.pool, view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    said = (
        "How unsure a linear model stays on the target's texts that only measure, tr(M V⁻¹), after training on the picks. "
        "Lower is better."
    )
    st.header(f"Variance on the target, by {unit}", help=helped(said, "random draws"), anchor=False)

    def curve(label: str, order: np.ndarray) -> Curve:
        at, f = cached_target.variance(pool, order)
        spent = np.concatenate([[0], np.cumsum(pool.tokens[order])])
        return Curve(label, spent[at] if tokens else at, f, unit)

    own = curve(_own_label(view), view.order.positions)
    curves = [(view.selector.name if pool.is_free else "what_if", own)]
    if view.reference is not None and (view.selector.name != DEFAULT_SELECTOR or not pool.is_free):
        curves.append((DEFAULT_SELECTOR, _cut(curve("TokenOD", view.reference.positions), own.x[-1])))
    if (found := view.variance_band(tokens=tokens)) is not None:
        x, draws = found
        within = x <= own.x[-1]
        curves.insert(0, ("uniform", band_curve("Uniform", x[within], draws[:, within], unit)))
    drawn = plots.gain_curves(curves, budget=view.picked_tokens if tokens else view.n, dark=dark(), height=240)
    drawn.update_layout(yaxis={"title": {"text": "mean variance (log)"}, "type": "log"})
    said = (
        f"Mean variance on the target's measuring texts against {unit}, lower is better: {number(view.variance_now)} at your "
        f"budget with {view.selector.label}; beside it TokenOD and a band of 20 random draws."
    )
    components.still_chart(drawn, "variance-chart", said, "explore-target")


def numbers_panel(view: ExploreView, chosen: RecordSet | None) -> None:
    """The selection in numbers, and its log det at every budget."""
    if view.band is None:
        st.caption("The random draws are still being computed.")
        return
    tiles(view)
    gain_panel(view, chosen)


def tiles(view: ExploreView) -> None:
    """The selection in numbers, each beside what random draws give."""
    assert view.band is not None
    N, n = len(view.pool), view.n
    total = int(view.pool.tokens.sum())
    tokens = view.unit == "tokens"
    limit = np.array([view.picked_tokens])
    cuts = [o[: within_tokens(view.pool.tokens[o], limit)[0]] if tokens else o[:n] for o in draw_orders(N)]
    same = "uniform, same tokens" if tokens else "uniform, same number"
    uniform = view.band.at(view.picked_tokens if tokens else n, tokens=tokens)[:, 0]
    with st.container(horizontal=True, key="tiles"):
        tile(
            "Selected",
            f"{n:,} of {N:,}",
            "Sentences selected from the pool; held-out and blank records are not in it.",
            f"{same}: {spread([len(c) for c in cuts])}" if tokens else f"{n / N:.1%} of the pool",
        )
        spent = [int(view.pool.tokens[cut].sum()) for cut in cuts]
        tile(
            "Trained tokens",
            f"{view.picked_tokens:,}",
            helped(f"Tokens that fine-tuning on the selection would train on, out of {total:,}.", "equal tokens"),
            f"{view.picked_tokens / total:.1%} of the pool's" if tokens else f"{same}: {spread(spent)}",
        )
        said = "f(S) = log det V(S) - log det V(empty), under TokenOD's criterion."
        tile("log det gained", f"{number(view.f, 4)} nats", helped(said, "log det"), f"{same}: {spread(uniform)}")
        if view.variance is not None:
            _variance_tile(view)
        elif view.proven is not None:
            said = f"At least this share of the largest log det of any {n:,} sentences: a proof (Minoux 1978), not an estimate."
            tile("Share of the optimum", f"at least {view.proven:.1%}", helped(said, "certificate"), "proven")
        for column in view.corpus.categories[:1]:
            values = view.corpus.column(column)[1][view.pool.index]
            tile(
                f"Covered: {escape_markdown(one_line(column, 24))}",
                f"{len(np.unique(values[view.picks]))} of {len(np.unique(values))}",
                helped("How many different values of this column the selection contains.", "coverage"),
                f"{same}: {spread([len(np.unique(values[c])) for c in cuts])}",
            )


def _variance_tile(view: ExploreView) -> None:
    said = (
        "Mean variance of a prediction on the target's measuring half, tr(M V⁻¹): how unsure a linear model stays there after "
        "training on the selection. Lower is better. No text that measures has chosen."
    )
    chance = "" if view.chance_variance is None else f"uniform, same tokens: {spread(view.chance_variance)}"
    tile("Variance on the target", number(view.variance_now), said, chance)


def gain_panel(view: ExploreView, chosen: RecordSet | None) -> None:
    """What the picks gain, beside random draws and the longest sentences, and what a chosen set would gain."""
    assert view.band is not None
    tokens = view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    b, pool = view.band, view.pool
    reach = int(pool.tokens[view.order.positions].sum()) if tokens else len(view.order)
    curves = [("uniform", band_curve("Uniform", *b.up_to(reach, tokens=tokens), unit)), *_lines(view, tokens=tokens)]
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    said = "What a selection adds to the design matrix, in nats, beside a band of random draws."
    left.header(f"log det gained, by {unit}", help=helped(said, "log det", "random draws"), anchor=False)
    log = query_widgets.toggle("Log axes", "log", place=right, help="Log scales on both axes, to see small budgets.")
    marks: list[tuple[str, int, float]] = []
    starred = ""
    if chosen:
        size, gained = chosen.tokens(pool), chosen.log_det(pool)
        marks.append((chosen.label, size if tokens else len(chosen.positions), gained))
        starred = (
            f"★ {escape_markdown(chosen.label)}: {len(chosen.positions):,} records with {size:,} trained tokens gain "
            f"{number(gained, 4)} nats."
        )
    budget = view.picked_tokens if tokens else view.n
    drawn = plots.gain_curves(curves, budget=budget, log=log, marks=marks, dark=dark())
    said = f"log det gained in nats against {unit}: {view.selector.label}, 20 uniform draws as a band, and the longest first."
    components.still_chart(drawn, "gain-chart", said, "explore-gain")
    st.markdown(_in_words(view))
    if starred:
        st.caption(starred)
    st.caption(
        f"Grey: mean and full range of {len(b.first)} uniform draws, exact for their first {b.first.shape[1]:,} sentences and "
        f"interpolated between {len(b.sentences)} budgets beyond; dashed: the longest first; dotted: your budget."
        + (f" With pins, only the first {len(view.order):,} picks are chosen." if not pool.is_free else "")
        + (" All selectors are measured with sigma2 = 1, whatever their own." if "sigma2" in view.selector.changed else "")
    )


def _own_label(view: ExploreView) -> str:
    changed = [f"{name}={value}" for name, value in view.selector.changed.items()]
    seed = [f"seed {view.seed}"] if view.selector.random else []
    pins = [f"{len(pins)} {what}" for what, pins in (("pinned", view.pool.pinned), ("excluded", view.pool.excluded)) if pins]
    return ", ".join([view.selector.label, *changed, *seed, *pins])


def _in_words(view: ExploreView) -> str:
    """The comparison at the current budget: equal sentences and equal tokens, with the longest-first control."""
    assert view.band is not None
    b, n, spent = view.band, view.n, view.picked_tokens
    longest = ("", "")
    if view.selector.name != "longest" and view.longest_gain is not None:
        fits = within_tokens(view.pool.tokens[view.longest.positions], np.array([spent]))[0]
        by_number, by_tokens = np.interp([n, fits], *view.longest_gain).tolist()
        longest = (f" and Longest {number(by_number, 4)}", f" and Longest {number(by_tokens, 4)}")
    return (
        f"At your budget {view.selector.label} gains {number(view.f, 4)} nats. With as many sentences ({n:,}), Uniform gains "
        f"{spread(b.at(n)[:, 0])}{longest[0]}. With as many trained tokens ({spent:,}), Uniform gains "
        f"{spread(b.at(spent, tokens=True)[:, 0])}{longest[1]}. A larger log det is not yet a better fine-tuned model."
    )
