"""The panels of the Explore page: a first visitor's guide, tiles, map, player and curve.

The player steps, plays and drags through the picks in the browser alone (player.html, .css, .js beside this file).  It receives
every number at once; when it rests on a record, "Why this sentence?" explains that one.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.design.information import share_of_optimum
from fishersft.design.trajectory import Curve, band_curve, draw_orders, within_tokens
from fishersft.plots import base as plots
from fishersft.plots import sentence_map
from fishersft.scoring import why
from fishersft.selectors import DEFAULT_SELECTOR, make_selector
from fishersft.text import visible_text
from fishersft.ui import cached, cached_target, components, maps, query_widgets
from fishersft.ui.components import dark, escape_markdown, helped, number, one_line, spread, tile
from fishersft.ui.explore.sets import RecordSet
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

COOKIE = "fishersft_guide"
_REMEMBER = f"<script>document.cookie = '{COOKIE}=read; max-age=31536000; path=/; samesite=lax'</script>"
DIRECTIONS = 10  # principal directions to choose from
TEXT = 320  # characters of a pick's text that are shown while it plays
_FILES: dict[str, Any] = {
    kind: (Path(__file__).parent / f"player.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
}
_player = st.components.v2.component("fishersft_pick_player", **_FILES)


def guide(session: Session) -> None:
    """The steps, until they are put away or a sentence is looked at."""
    if session.guide == "put away":
        session.guide = "read"
        st.html(_REMEMBER, unsafe_allow_javascript=True)
    if session.record is not None:
        session.guide = session.guide or "read"  # who looks at a sentence has found the way
    if session.guide or st.context.cookies.get(COOKIE) == "read":
        return
    last = "Tap a point, or press play" if components.touch() else "Click a point to see why"
    put_away = partial(setattr, session, "guide", "put away")
    with st.container(key="guide", horizontal=True, vertical_alignment="center"):
        st.caption(f":material/waving_hand: New here? **1.** Choose a selector. **2.** Move the budget. **3.** {last}.")
        st.button("Got it", key="guide-read", type="tertiary", on_click=put_away, help="Do not show this again.")


def tiles(view: ExploreView) -> None:
    """The selection in numbers, each beside what random draws give."""
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
        else:
            _optimum_tile(view)
        for column in view.corpus.categories[:1]:
            values = view.corpus.fields[column].map(str).to_numpy()[view.pool.index]
            tile(
                f"Covered: {escape_markdown(one_line(column, 24))}",
                f"{len(set(values[view.order.positions[:n]]))} of {len(set(values))}",
                helped("How many different values of this column the selection contains.", "coverage"),
                f"{same}: {spread([len(set(values[c])) for c in cuts])}",
            )


def _optimum_tile(view: ExploreView) -> None:
    n = view.n
    share = share_of_optimum(view.f, float(view.reference.optimum_bounds[min(n, len(view.reference)) - 1]))
    said = (
        f"At least this share of the largest log det of any {n:,} sentences: a proof (Minoux 1978), not an estimate. "
        "It uses the bounds that TokenOD had while picking; `fishersft compare` evaluates every sentence again and "
        "proves a slightly larger share for the same picks."
    )
    tile("Share of the optimum", f"at least {share:.1%}", helped(said, "certificate"), "proven while picking")


def _variance_tile(view: ExploreView) -> None:
    assert view.variance is not None
    said = (
        "Mean variance of a prediction on the target's measuring half, tr(M V⁻¹): how unsure a linear model stays there after "
        "training on the selection. Lower is better. No text that measures has chosen."
    )
    chance = spread(view.chance_variance)
    tile("Variance on the target", number(view.variance_now), said, f"uniform, same tokens: {chance}")


def map_panel(view: ExploreView, session: Session, kind: str, colour: str, matched: np.ndarray | None) -> None:
    """The map: click a point for its reasons, draw a lasso for a set."""
    shown = view.everything
    position = components.position_of(shown, session.record)
    nearest = None
    if position is not None:
        nearest = why.nearest_of(shown.embeddings.means, position, view.places[view.picks])[0]
    values = None
    if colour == "tokens":
        values = shown.tokens
    elif colour in view.corpus.fields.columns:
        values = view.corpus.fields[colour].to_numpy(dtype=object)[shown.index]
    key = f"map-{session.generation}"
    gesture = (st.session_state.get(key) or {}).get("selection", {}).get("points")
    if session.lasso and not gesture:  # a set of a link, of the store or of another page was not drawn on this map
        matched = view.lit(session.lasso, matched)
    xy = cached.map_of(shown.embeddings, kind.lower())
    lit = np.zeros(len(xy), bool) if matched is None else matched
    points = sentence_map.Points(xy, shown.index, view.on_map(view.rank), lit, view.target_texts)
    drawn = sentence_map.sentence_map(
        points,
        colour_by=colour,
        values=values,
        selector=view.selector.name,
        focus=position,
        neighbour=nearest,
        equal_axes=kind == "PCA",
        dark=dark(),
    )
    said = f"{kind} map of {len(shown):,} sentences; the {view.n:,} picks of {view.selector.label} are larger and on top."
    if view.target_texts.any():
        said += f" {int(view.target_texts.sum()):,} target texts are outlined stars."
    maps.chart(drawn, key, said, "explore-map", partial(maps.point_or_lasso, session, key))
    if components.touch():
        st.caption("Taps do not select on this map; tap in the player, or draw a box here with the tool above the map.")
    st.caption(
        f"{kind} of {len(shown):,} sentence means in {shown.embeddings.dimension} dimensions, for viewing only: "
        "the selectors work on token rows. Click a point to see why; drag with the lasso to mark a set." + maps.sampled(shown)
    )


def player_panel(view: ExploreView, session: Session, kind: str, matched: np.ndarray | None) -> None:
    """The player, and which directions its ellipse is seen in; what is searched, filtered or lassoed lights up as on the map."""
    first, second = _directions(view)
    pool, shown, picks = view.pool, view.everything, view.picks
    data = sentence_map.playback(
        cached.map_of(shown.embeddings, kind.lower()),
        shown.index,
        shown.tokens,
        cached.walk(pool.embeddings, picks, (first - 1, second - 1)),
        view.band.at(np.arange(1, view.n + 1)).mean(0),
        [visible_text(view.corpus.texts[r], TEXT) for r in pool.index[picks]],
        view.lit(session.lasso, matched),
        picks=view.places[picks],
        directions=(first, second),
        selector=view.selector.name,
        label=view.selector.label,
        kind=kind,
        dark=dark(),
    )
    at = components.position_of(pool, session.record)
    rank = int(view.rank[at]) if at is not None else 0

    def rested() -> None:
        at = st.session_state["player"]["at"]
        if isinstance(at, int | float) and 1 <= at <= view.n:
            session.record = int(pool.index[picks[int(at) - 1]])

    def clicked() -> None:
        record = st.session_state["player"]["record"]
        if isinstance(record, int | float):
            session.record = int(record)

    data |= {"at": rank, "turn": session.turns, "equal": kind == "PCA"}
    _player(key="player", data=data, on_at_change=rested, on_record_change=clicked)
    st.caption(
        f"{kind} of {len(shown):,} sentence means, the {view.n:,} picks of {view.selector.label} in order; gains by "
        "TokenOD's criterion with sigma2 = 1. The ellipse is what the picks leave unknown (θᵀVθ ≤ 1), projected onto "
        "the plane of the two directions; its scale adapts."
    )


def check_directions(view: ExploreView, session: Session) -> None:
    """While the player is not shown, name the directions that a link asks for in vain, and drop them."""
    most = min(DIRECTIONS, view.pool.embeddings.dimension)
    for key in ("across", "up"):
        asked = st.query_params.get(key, "1")
        if not (asked.isdigit() and 1 <= int(asked) <= most):
            session.notices.append(f"{key} {asked[:24]} (1 to {most})")
            del st.query_params[key]


def _directions(view: ExploreView) -> tuple[int, int]:
    most = min(DIRECTIONS, view.pool.embeddings.dimension)
    numbers = list(range(1, most + 1))
    if most == 1:
        return 1, 1
    row = st.container(horizontal=True, vertical_alignment="bottom")
    look: dict[str, Any] = {"place": row, "says": f"1 to {most}", "width": 140}
    said = "Principal directions of the pool's token rows, shown across; 1 is the direction of largest second moment."
    first = query_widgets.select("Ellipse: across", numbers, "across", help=said, **look)
    second = query_widgets.select("up", numbers, "up", index=1, help="The principal direction shown upwards.", **look)
    if first == second:
        second = next(k for k in numbers if k != first)
        row.caption(f"A plane needs two different directions, so up is {second}.")
    return int(first), int(second)


def variance_panel(view: ExploreView) -> None:
    """How far the picks lower the variance on the target's measuring half, beside random draws and TokenOD."""
    pool, tokens = view.pool, view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    said = (
        "How unsure a linear model stays on the target's texts that only measure, tr(M V⁻¹), after training on the picks. "
        "Lower is better."
    )
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    left.markdown(f"**Mean variance on the target, by {unit}**", help=helped(said, "random draws"))
    log = query_widgets.toggle("Log axes", "log", place=right, help="Log scales on both axes, to see small budgets.")

    def curve(label: str, order: np.ndarray) -> Curve:
        at, f = cached_target.variance(pool, order)
        spent = np.concatenate([[0], np.cumsum(pool.tokens[order])])
        return Curve(label, spent[at] if tokens else at, f, unit)

    own = curve(_own_label(view), view.order.positions)
    curves = [(view.selector.name if pool.is_free else "what_if", own)]
    if view.selector.name != DEFAULT_SELECTOR or not pool.is_free:
        curves.append((DEFAULT_SELECTOR, curve("TokenOD", view.reference.positions)))
    reach = own.x[-1]
    x, draws = view.variance_band(tokens=tokens)
    curves.insert(0, ("uniform", band_curve("Uniform", x[x <= reach], draws[:, x <= reach], unit)))
    curves = [(name, c if name == "uniform" else _cut(c, reach)) for name, c in curves]
    drawn = plots.gain_curves(curves, budget=view.picked_tokens if tokens else view.n, log=log, dark=dark())
    drawn.update_layout(yaxis={"title": {"text": "mean variance on the target, log scale"}, "type": "log"})
    said = f"Mean variance on the target, lower is better, against {unit}: {view.selector.label}, TokenOD and a band of 20 draws."
    components.still_chart(drawn, "variance-chart", said, "explore-target")
    st.markdown(_target_words(view))


def _cut(curve: Curve, reach: float) -> Curve:
    within = curve.x <= reach
    return Curve(curve.label, curve.x[within], curve.mean[within], curve.x_unit)


def _target_words(view: ExploreView) -> str:
    """How close the picks come to the target, and how unsure they leave a model there, beside random draws of as many tokens."""
    spent, pool = view.picked_tokens, view.pool
    limit = np.array([spent])
    draws = [o[: max(1, within_tokens(pool.tokens[o], limit)[0])] for o in draw_orders(len(pool))]
    near, loss = cached_target.near(pool), cached_target.loss(pool, view.picks)
    losses = np.array([cached_target.loss(pool, draw) for draw in draws])
    chance = view.chance_variance
    like, sure = _stands(loss, losses), _stands(view.variance_now, chance)
    return (
        f"With {spent:,} trained tokens the picks of {view.selector.label} are {like} chance at looking like the target's "
        f"measuring texts (Stein's loss **{number(loss)}** against {spread(losses)}), and {sure} chance at lowering the variance "
        f"there (**{number(view.variance_now)}** against {spread(chance)}). Near the target lie {near[view.picks].mean():.0%} of "
        f"the picks and {near.mean():.0%} of the pool."
    )


def _stands(value: float, chance: np.ndarray) -> str:
    """Where a number, of which less is better, stands to those of random draws."""
    return "better than" if value < chance.min() else "worse than" if value > chance.max() else "no better than"


def gain_panel(view: ExploreView, chosen: RecordSet | None) -> None:
    """What the picks gain, beside random draws and the longest sentences, and what a chosen set would gain; with a target, what
    they do for it."""
    if view.variance is not None:
        variance_panel(view)
        return
    tokens = view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    b, known, pool = view.band, view.reference, view.pool
    spent = np.cumsum(pool.tokens[view.order.positions])
    reach = int(spent[-1]) if tokens else len(view.order)
    at, f = view.gain
    long_at, long_f = view.longest_gain
    long_x = np.cumsum(pool.tokens[view.longest.positions])[long_at - 1] if tokens else long_at
    steps = np.cumsum(pool.tokens[known.positions]) if tokens else np.arange(1, len(known) + 1)
    within = steps <= reach
    curves = [
        ("uniform", band_curve("Uniform", *b.up_to(reach, tokens=tokens), unit)),
        (DEFAULT_SELECTOR, Curve("TokenOD", steps[within], np.cumsum(known.gains)[within], unit)),
    ]
    if not pool.is_free or view.selector not in (make_selector("longest"), make_selector(DEFAULT_SELECTOR)):
        own = Curve(_own_label(view), spent[at - 1] if tokens else at, f, unit)
        curves.append((view.selector.name if pool.is_free else "what_if", own))
    within = long_x <= reach
    curves.append(("longest", Curve("Longest", long_x[within], long_f[within], unit)))  # last: it hides under TokenOD otherwise
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    said = "What a selection adds to the design matrix, in nats, beside a band of random draws."
    left.markdown(f"**log det gained, by {unit}**", help=helped(said, "log det", "random draws"))
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
    b, n, spent = view.band, view.n, view.picked_tokens
    longest = ("", "")
    if view.selector.name != "longest":
        fits = within_tokens(view.pool.tokens[view.longest.positions], np.array([spent]))[0]
        by_number, by_tokens = np.interp([n, fits], *view.longest_gain).tolist()
        longest = (f" and Longest {number(by_number, 4)}", f" and Longest {number(by_tokens, 4)}")
    return (
        f"At your budget {view.selector.label} gains {number(view.f, 4)} nats. With as many sentences ({n:,}), Uniform gains "
        f"{spread(b.at(n)[:, 0])}{longest[0]}. With as many trained tokens ({spent:,}), Uniform gains "
        f"{spread(b.at(spent, tokens=True)[:, 0])}{longest[1]}. A larger log det is not yet a better fine-tuned model."
    )
