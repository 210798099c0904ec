"""The Results section: what held-out texts say of every tuned model, and its losses while it is trained."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.finetuning import run_list as finetune_found
from fishersft.finetuning.learning_rate import edge_warning
from fishersft.finetuning.results import BASELINE, SelectionResult, with_interval
from fishersft.finetuning.run import BASE, LOSSES, RATE, WORK
from fishersft.plots import generations as generation_plots
from fishersft.text import visible
from fishersft.ui import components, learn, query_widgets
from fishersft.ui.components import dark
from fishersft.ui.generations.loaded_run import LoadedRun
from fishersft.ui.generations.page_state import FINETUNE, watched_job
from fishersft.ui.job_panel import EVERY

WORSE = "no better than untuned"
ENOUGH_SEEDS = 5  # of a bootstrap over seeds; of 2, about 75 of 100 intervals hold the truth where seeds matter as much as texts
PAUSE = 10.0  # seconds between two readings of a run that goes on
MEASURES = {"mean": "mean", "95th percentile": "p95", "largest": "max", "worst topic": "worst"}
BUTTONS = ("toImage", "zoom2d", "pan2d", "resetScale2d")
AGAINST = ("sentences", "tokens")
PYTHON = """from fishersft.runs.finetuning.found import find
from fishersft.runs.finetuning.result import FineTuneResult

print(FineTuneResult(find({name!r})).markdown())
"""


@dataclass(frozen=True)
class HeldOutOptions:
    """How results are drawn."""

    measure: str
    shown: str
    against: str


def section(of: LoadedRun) -> None:
    """Everything of it."""
    job = watched_job(FINETUNE, of)
    if job is not None and not job.ended:
        _going_on(of)
    if not of.lines:
        st.info("No model of this run is finished yet.", icon=":material/hourglass_empty:")
        return
    _unsound(of)
    how = _controls(of)
    st.markdown(components.escape_markdown(held_out_summary(of.lines, how.measure, str(of.run.about["equal"]))))
    _chart(of, how)
    _table(of, how)
    _losses(of)
    _downloads(of)
    command = of.run.about.get("command") or ["fishersft", "finetune", of.corpus]
    components.footer(f"{shlex.join(map(str, command))} --out run", PYTHON.format(name=of.name))


def _unsound(of: LoadedRun) -> None:
    """In red: models that are no better than the untuned one."""
    bad = [line for line in of.lines if line.worse]
    if not bad:
        return
    told = ", ".join(line.label if line.budget is None else f"{line.label} at {line.budget:,}" for line in bad)
    st.error(
        components.escape_markdown(
            f"{told}: the tuned model is no better than the untuned one on held-out texts. Comparisons at such a learning "
            "rate mislead; lower it, or let it be found."
        ),
        icon=":material/warning:",
    )


def _controls(of: LoadedRun) -> HeldOutOptions:
    row = st.container(horizontal=True, vertical_alignment="bottom", key="held-out-controls")
    there = [name for name, measure in MEASURES.items() if measure in of.lines[0].values]
    measure = query_widgets.segmented(
        "Measure",
        there,
        "held_out",
        default="mean",
        place=row,
        help=learn.helped(
            "Nats a trained token of the held-out texts, lower is better. Mean: over all tokens. The others are the tail: the "
            "95th percentile and the largest of the texts' own means, and the mean of the worst topic. The interval of the "
            "largest cannot go beyond the texts at hand: it says how much hangs on single ones, not how bad others may be.",
            "coverage",
        ),
    )
    shown = query_widgets.segmented(
        "Shown",
        list(generation_plots.MINUS),
        "minus",
        default="minus Uniform" if any(line.minus_uniform for line in of.lines) else "nats",
        place=row,
        help="Differences are paired: the same texts, seed by seed, so what every model finds hard cancels and the band is "
        "narrower. Below 0 is better.",
    )
    against = query_widgets.segmented(
        "Against",
        AGAINST,
        "against",
        default="sentences",
        place=row,
        help=learn.helped(
            "Sentences of the budget, or the trained tokens that each selection really has: some selectors prefer long texts.",
            "equal tokens",
        ),
    )
    components.pictures(row)
    return HeldOutOptions(MEASURES[measure], shown, against)


def held_out_summary(lines: Sequence[SelectionResult], measure: str, equal: str) -> str:
    """What the largest budget says, selector by selector, against Uniform."""
    budgets = [line.budget for line in lines if line.budget is not None]
    if not budgets:
        return "No selection is finished yet."
    n = max(budgets)
    at = [line for line in lines if line.budget == n]
    base = next((line for line in lines if line.selector == BASE), None)
    uniform = next((line for line in at if line.selector == BASELINE), None)
    name = generation_plots.MEASURES[measure]
    untuned = f"; untuned {base.values[measure].value:.3f}" if base else ""
    if uniform is None:
        told = ", ".join(f"{line.label} {line.values[measure].value:.3f}" for line in at)
        return f"At n = {n:,} and equal {equal}, the {name}: {told} nats{untuned}."
    groups: dict[str, list[str]] = {"below Uniform": [], "above Uniform": [], "not to be told apart from Uniform": []}
    for line in at:
        if measure in line.minus_uniform:
            e = line.minus_uniform[measure]
            apart = "below Uniform" if e.high < 0 else "above Uniform" if e.low > 0 else "not to be told apart from Uniform"
            groups[apart].append(f"{line.label}, {with_interval(e, signed=True)},")
    told = "; ".join(
        f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'} {where}" for where, found in groups.items() if found
    )
    u = uniform.values[measure]
    return (
        f"At n = {n:,} and equal {equal}, the {name} of Uniform is {with_interval(u)} nats{untuned}. {told}."
        if told
        else (f"At n = {n:,} and equal {equal}, the {name} of Uniform is {with_interval(u)} nats{untuned}.")
    )


def _chart(of: LoadedRun, how: HeldOutOptions) -> None:
    group = generation_plots.MINUS[how.shown]
    if not any(how.measure in getattr(line, group) for line in of.lines):
        missing = "Uniform" if how.shown == "minus Uniform" else "the untuned model"
        st.info(f"This run has no finished model of {missing} to compare with; nats can be shown.", icon=":material/info:")
        return
    fig = generation_plots.held_out_figure(of.lines, how.measure, how.shown, against=how.against, dark=dark(), height=440)
    key = f"held-out-{of.name}-{how.measure}-{how.shown}-{how.against}"
    st.plotly_chart(
        fig, theme=None, key=key, config=chart_config(key), alt="Held-out nats against the budget, as in the table below"
    )
    seeds = len(of.run.about["seeds"])
    texts = f"{len(of.run.held_out['tokens']):,} held-out texts"
    few = ", too few for the band to be wide enough" if seeds < ENOUGH_SEEDS else ""
    drawn = f"of {texts} and of {seeds} seeds{few}" if seeds > 1 else f"of {texts}; one seed, so its chance is not in them"
    st.caption(
        f"Bands and brackets: 95% intervals of a bootstrap {drawn}. Lower is better. No selector ever sees a held-out text. "
        + ("These bands are mostly what texts differ by; minus Uniform is paired, text by text. " if how.shown == "nats" else "")
        + "Hover for numbers; the camera above the chart saves the picture."
    )


def chart_config(name: str, *, always: bool = True) -> dict[str, Any]:
    """Of a chart whose picture is saved under this name; the buttons are seen always, or under the pointer."""
    return components.camera(name, always=always, buttons=BUTTONS)


def _table(of: LoadedRun, how: HeldOutOptions) -> None:
    """All measures of all lines; a model that is no better than the untuned one is named so."""
    heads = {measure: name for name, measure in MEASURES.items()}
    rows = []
    for line in of.lines:
        row: dict[str, Any] = {"selection": visible(line.label), "verdict": WORSE if line.worse else ""}
        row |= {"n": line.budget, "seeds": len(line.seeds) or None}
        row |= {"sentences": round(line.sentences), "tokens": round(line.tokens)}
        row |= {heads[m]: with_interval(e) for m, e in line.values.items()}
        name = f"{heads[how.measure]}, minus Uniform"
        row[name] = with_interval(line.minus_uniform[how.measure], signed=True) if how.measure in line.minus_uniform else "–"
        name = f"{heads[how.measure]}, minus untuned"
        row[name] = with_interval(line.minus_base[how.measure], signed=True) if how.measure in line.minus_base else "–"
        row["seconds"] = None if np.isnan(line.seconds) else round(line.seconds)
        rows.append(row)
    frame = pd.DataFrame(rows)
    if not any(line.worse for line in of.lines):
        frame = frame.drop(columns="verdict")
    st.dataframe(
        frame,
        hide_index=True,
        height="content" if len(rows) < 16 else 560,
        placeholder="–",
        alt="Held-out nats of every selection",
        column_config={name: st.column_config.NumberColumn(name, format="localized") for name in ("n", "sentences", "tokens")},
    )


def _losses(of: LoadedRun) -> None:
    """Of finished models, and how the learning rate was found."""
    tuned = [c for c in of.models.values() if c.facts.get("losses")]
    if not tuned:
        return
    with st.expander("Losses of the training, and its learning rate", icon=":material/trending_down:"):
        _found_rate(of)
        groups = list(dict.fromkeys("whole pool" if c.budget is None else f"n = {c.budget:,}" for c in tuned))
        chosen = st.segmented_control(
            "Models", groups, default=groups[0], required=True, key=f"losses-{of.name}", help="Those tuned on so many sentences."
        )
        some = {
            c.name: [(int(s), float(v)) for s, v in c.facts["losses"]]
            for c in tuned
            if chosen == ("whole pool" if c.budget is None else f"n = {c.budget:,}")
        }
        fig = generation_plots.losses_figure(some, dark=dark())
        key = f"losses-{of.name}-{chosen}"
        st.plotly_chart(fig, theme=None, key=f"chart-{key}", config=chart_config(key), alt="Training loss against the step")
        more = f", of {len(some)} models" if len(some) > generation_plots.MOST_LOSSES else ""
        shown = min(len(some), generation_plots.MOST_LOSSES)
        st.caption(f"Loss of each step's batch, {shown}{more}: what is trained on differs, so losses are not to be compared.")


def _found_rate(of: LoadedRun) -> None:
    try:
        told = json.loads((of.run.folder / RATE).read_text(encoding="utf-8"))
        tried = ", ".join(
            f"{float(r):g}: {v:.3f}" if v is not None else f"{float(r):g}: diverged" for r, v in told["nats"].items()
        )
        sentence = (
            f"Learning rate {told['chosen']:g}, the best of those tried on {told['trained_on']:,} sentences of a uniform draw "
            f"and measured on {told['measured_on']:,} others of the pool, in nats a token: {tried}; untuned: {told['base']:.3f}."
            f"{edge_warning(float(told['chosen']), told['nats'])}"
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    st.caption(components.escape_markdown(sentence))


@st.fragment(run_every=EVERY)
def _going_on(of: LoadedRun) -> None:
    """Losses of the models that are being trained; the page is drawn anew when more are finished, but not all the time."""
    drawn = st.session_state.setdefault(f"drawn-{of.name}", (of.stamp, time.monotonic()))
    if drawn[0] != of.stamp:
        st.session_state[f"drawn-{of.name}"] = (of.stamp, time.monotonic())
    elif finetune_found.stamp(of.run) != of.stamp and time.monotonic() - drawn[1] > PAUSE:
        st.rerun()
    live = live_losses(of.run.folder)
    if not live:
        return
    fig = generation_plots.losses_figure(live, dark=dark())
    st.plotly_chart(fig, theme=None, key=f"live-{of.name}", config={"displayModeBar": False}, alt="Training loss so far")
    step = {name: points[-1][0] for name, points in live.items()}
    st.caption("Being trained: " + components.escape_markdown(", ".join(f"{name}, step {k:,}" for name, k in step.items())) + ".")


def live_losses(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """{cell: [(step, loss)]} of the models in progress; a line that is half written is left for the next look."""
    out: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob(f"{WORK}/*/{LOSSES}")):
        points: dict[int, float] = {}
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                told = json.loads(line)
                points[int(told["step"])] = float(told["loss"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if points:
            out[path.parent.name] = sorted(points.items())
    return out


def _downloads(of: LoadedRun) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.markdown("Download:")
    for ending, make in (("csv", _csv), ("json", _json), ("md", _markdown), ("texts", _texts)):
        name = f"finetune-{of.name}.{'jsonl' if ending == 'texts' else ending}"
        help = "prompts and what each model wrote, JSON lines" if ending == "texts" else "a row a selection, with intervals"
        row.download_button(ending, partial(make, of), name, key=f"{ending}-{of.name}", on_click="ignore", help=help)


def _csv(of: LoadedRun) -> str:
    return pd.DataFrame(of.result.table()).to_csv(index=False)


def _json(of: LoadedRun) -> str:
    return json.dumps(of.result.as_dict(), indent=1)


def _markdown(of: LoadedRun) -> str:
    return of.result.markdown() + "\n"


def _texts(of: LoadedRun) -> str:
    prompts = {p.number: p for p in of.run.prompts}
    lines = [
        {
            "prompt": t.prompt,
            "record": prompts[t.prompt].index,
            "prompt_text": prompts[t.prompt].text,
            "model": name,
            "text": t.text,
        }
        for name in of.models
        for t in of.run.texts(name)
        if t.prompt in prompts
    ]
    return "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
