"""The panels of the Explore page: a first visitor's guide, tiles, map and curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from fishersft.design.information import share_of_optimum
from fishersft.design.trajectory import Curve, band_curve, draw_orders, within_tokens
from fishersft.plots import base as plots
from fishersft.plots import sentence_map
from fishersft.scoring import why
from fishersft.selectors import DEFAULT_SELECTOR, make_selector
from fishersft.ui import cached, components, learn, maps, query_widgets
from fishersft.ui.components import dark, number, spread, tile
from fishersft.ui.explore.sets import RecordSet
from fishersft.ui.explore.view import ExploreView
from fishersft.ui.session import Session

COOKIE = "fishersft_guide"
_REMEMBER = f"<script>document.cookie = '{COOKIE}=read; max-age=31536000; path=/; samesite=lax'</script>"


def map_panel(view: ExploreView, session: Session, kind: str, colour: str, matched: np.ndarray | None) -> None:
    """The map: click a point for its reasons, draw a lasso for a set."""
    position = components.position_of(view.pool, session.record)
    nearest = None
    if position is not None:
        nearest = why.nearest_of(view.pool.embeddings.means, position, view.picks)[0]
    xy = cached.map_of(view.pool.embeddings, kind.lower())
    values = None
    if colour == "tokens":
        values = view.pool.tokens
    elif colour in view.corpus.fields.columns:
        values = view.corpus.fields[colour].to_numpy(dtype=object)[view.pool.index]
    key = f"map-{session.generation}"
    gesture = (st.session_state.get(key) or {}).get("selection", {}).get("points")
    if session.lasso and not gesture:  # a set of a link, of the store or of another page was not drawn on this map
        matched = view.lit(session.lasso, matched)
    points = sentence_map.Points(xy, view.pool.index, view.rank, np.zeros(len(xy), bool) if matched is None else matched)
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
    st.plotly_chart(
        drawn,
        theme=None,
        key=key,
        on_select=partial(maps.point_or_lasso, session, key),
        selection_mode=("points", "lasso", "box"),
        config=maps.camera("explore-map"),
        alt=f"{kind} map of {len(view.pool):,} sentences; the {view.n:,} picks of {view.selector.label} are larger and on top.",
    )
    if components.touch():
        st.caption("Taps do not select on this map; tap in the player, or draw a box here with the tool above the map.")
    sampled = len(view.pool) > sentence_map.MOST_POINTS
    st.caption(
        f"{kind} of {len(view.pool):,} sentence means in {view.pool.embeddings.dimension} dimensions, for viewing only: "
        "the selectors work on token rows. Click a point to see why; drag with the lasso to mark a set."
        + (f" {sentence_map.MOST_POINTS:,} points are drawn: every pick and an even sample of the rest." if sampled else "")
    )


def gain_panel(view: ExploreView, held: Sequence[RecordSet] = ()) -> None:
    """What the picks gain, beside random draws and the longest sentences, and what some sets would gain."""
    tokens = view.unit == "tokens"
    unit = "trained tokens" if tokens else "sentences"
    at, f = view.gain
    spent = np.cumsum(view.pool.tokens[view.order.positions])
    b = view.band
    reach = int(spent[-1]) if tokens else len(view.order)
    long_at, long_f = view.longest_gain
    long_x = np.cumsum(view.pool.tokens[view.longest.positions])[long_at - 1] if tokens else long_at
    curves = [("uniform", band_curve("Uniform", *b.up_to(reach, tokens=tokens), unit))]
    known = view.reference
    steps = np.cumsum(view.pool.tokens[known.positions]) if tokens else np.arange(1, len(known) + 1)
    within = steps <= reach
    curves.append((DEFAULT_SELECTOR, Curve("TokenOD", steps[within], np.cumsum(known.gains)[within], unit)))
    if not view.pool.is_free or view.selector not in (make_selector("longest"), make_selector(DEFAULT_SELECTOR)):
        curves.append(
            (
                view.selector.name if view.pool.is_free else "what_if",
                Curve(_own_label(view), spent[at - 1] if tokens else at, f, unit),
            )
        )
    curves.append(
        ("longest", Curve("Longest", long_x[long_x <= reach], long_f[long_x <= reach], unit))
    )  # last: it hides under TokenOD otherwise
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    said = "What a selection adds to the design matrix, in nats, beside a band of random draws."
    left.markdown(f"**log det gained, by {unit}**", help=learn.helped(said, "log det", "random draws"))
    log = query_widgets.toggle("Log axes", "log", place=right, help="Log scales on both axes, to see small budgets.")
    marks = [(one.label, one.tokens(view.pool) if tokens else len(one.positions), one.log_det(view.pool)) for one in held]
    drawn = plots.gain_curves(curves, budget=view.picked_tokens if tokens else view.n, log=log, marks=marks, dark=dark())
    st.plotly_chart(
        drawn,
        theme=None,
        config=components.camera("explore-gain"),
        key="gain-chart",
        alt=f"log det gained in nats against {unit}: {view.selector.label}, 20 uniform draws as a band, and the longest first.",
    )
    st.markdown(_in_words(view))
    for one in held:
        st.caption(
            f"★ {components.escape_markdown(one.label)}: {len(one.positions):,} records with {one.tokens(view.pool):,} trained "
            f"tokens gain {number(one.log_det(view.pool), 4)} nats."
        )
    st.caption(
        f"Grey: mean and full range of {len(b.first)} uniform draws, exact for their first {b.first.shape[1]:,} sentences and "
        f"interpolated between {len(b.sentences)} budgets beyond; dashed: the longest first; dotted: your budget."
        + (f" With pins, only the first {len(view.order):,} picks are chosen." if not view.pool.is_free else "")
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
    same_n, same_tokens = b.at(n)[:, 0], b.at(spent, tokens=True)[:, 0]
    words = (
        f"At your budget {view.selector.label} gains {number(view.f, 4)} nats. With as many sentences ({n:,}), Uniform gains "
        f"{spread(same_n)}{{}}. With as many trained tokens ({spent:,}), Uniform gains {spread(same_tokens)}{{}}. "
        "A larger log det is not yet a better fine-tuned model."
    )
    if view.selector.name == "longest":
        return words.format("", "")
    at, f = view.longest_gain
    fits = within_tokens(view.pool.tokens[view.longest.positions], np.array([spent]))[0]
    by_number, by_tokens = (number(float(np.interp(k, at, f)), 4) for k in (n, fits))
    return words.format(f" and Longest {by_number}", f" and Longest {by_tokens}")


def tiles(view: ExploreView) -> None:
    """The selection in numbers, each beside what random draws give."""
    N, n = len(view.pool), view.n
    total = int(view.pool.tokens.sum())
    orders = draw_orders(N)
    tokens = view.unit == "tokens"
    limit = np.array([view.picked_tokens])
    cuts = [o[: within_tokens(view.pool.tokens[o], limit)[0]] if tokens else o[:n] for o in orders]
    same = "same tokens" if tokens else "same number"

    def spent(cut: np.ndarray) -> int:
        return int(view.pool.tokens[cut].sum())

    b = view.band
    uniform = b.at(view.picked_tokens if tokens else n, tokens=tokens)[:, 0]
    bound = float(view.reference.optimum_bounds[min(n, len(view.reference)) - 1])
    with st.container(horizontal=True, key="tiles"):
        tile(
            "Selected",
            f"{n:,} of {N:,}",
            "Sentences selected from the pool; held-out and blank records are not in it.",
            f"uniform, same tokens: {spread([len(c) for c in cuts])}" if tokens else f"{n / N:.1%} of the pool",
        )
        tile(
            "Trained tokens",
            f"{view.picked_tokens:,}",
            learn.helped(f"Tokens that fine-tuning on the selection would train on, out of {total:,}.", "equal tokens"),
            f"{view.picked_tokens / total:.1%} of the pool's" if tokens else f"uniform, {same}: {spread([*map(spent, cuts)])}",
        )
        tile(
            "log det gained",
            f"{number(view.f, 4)} nats",
            learn.helped("f(S) = log det V(S) - log det V(empty), under TokenOD's criterion.", "log det"),
            f"uniform, {same}: {spread(uniform)}",
        )
        tile(
            "Share of the optimum",
            f"at least {share_of_optimum(view.f, bound):.1%}",
            learn.helped(
                f"At least this share of the largest log det of any {n:,} sentences: a proof (Minoux 1978), not an estimate. "
                "It uses the bounds that TokenOD had while picking; `fishersft compare` evaluates every sentence again and "
                "proves a slightly larger share for the same picks.",
                "certificate",
            ),
            "proven while picking",
        )
        for column in view.corpus.categories[:1]:
            values = view.corpus.fields[column].map(str).to_numpy()[view.pool.index]
            chance = [len(set(values[c])) for c in cuts]
            covered = len(set(values[view.order.positions[:n]]))
            tile(
                f"Covered: {components.escape_markdown(components.one_line(column, 24))}",
                f"{covered} of {len(set(values))}",
                learn.helped("How many different values of this column the selection contains.", "coverage"),
                f"uniform, {same}: {spread(chance)}",
            )


def guide(session: Session) -> None:
    """The steps, until they are put away or a sentence is looked at."""
    if session.guide == "put away":
        session.guide = "read"
        st.html(_REMEMBER, unsafe_allow_javascript=True)
    if session.record is not None:
        session.guide = session.guide or "read"  # who looks at a sentence has found the way
    if session.guide or st.context.cookies.get(COOKIE) == "read":
        return
    last = "tap a point, or press play" if components.touch() else "click a point to see why"
    with st.container(key="guide", horizontal=True, vertical_alignment="center"):
        st.caption(
            f":material/waving_hand: New here? **1.** Choose a selector. **2.** Move the budget. **3.** {last.capitalize()}."
        )
        st.button(
            "Got it", key="guide-read", type="tertiary", on_click=_put_away, args=(session,), help="Do not show this again."
        )


def _put_away(session: Session) -> None:
    session.guide = "put away"
