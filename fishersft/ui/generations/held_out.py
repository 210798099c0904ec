"""The Results section: how well every tuned model predicts texts that no selector saw, and its losses while it is trained.

Those are the target's measuring texts where the run has a target, with the held-out texts one switch away; else the held-out
texts.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fishersft.finetuning.results import BASELINE, SCORES, SelectionResult, side_of, size_of, with_interval
from fishersft.finetuning.results import MEASURES as NAMES
from fishersft.finetuning.run import BASE, LOSSES, RATE, WORK
from fishersft.finetuning.schema import RateFile
from fishersft.finetuning.stages import edge_warning
from fishersft.paths import read_whole
from fishersft.plots import generations as generation_plots
from fishersft.store.checked import read_json
from fishersft.text import UNDECIDED, listed, visible
from fishersft.ui import components, downloads, query_widgets
from fishersft.ui.components import chart, dark
from fishersft.ui.generations.page_state import FINETUNE, LoadedRun, headline, watched_job
from fishersft.ui.job_panel import EVERY

WORSE = "no better than untuned"
NATS = (
    "A loss of x nats per token means that the model gives the next token a probability of e to the power -x (the geometric "
    "mean), so lower is better, and 0.1 nats less are about 10% more probability for every token. Uniform is the random draw. n: "
    "sentences of a selection."
)
PAUSE = 10.0  # seconds between two readings of a run that is going on
MEASURES = {name: measure for measure, name in {**NAMES, **SCORES}.items()}
AGAINST = ("sentences", "tokens")
ON = ("the target", "elsewhere")


def section(of: LoadedRun, row: Any) -> None:
    """What fine-tuning on the selections came to: in words, as a picture, and in numbers; `row` takes the controls."""
    job = watched_job(FINETUNE, of)
    if job is not None and not job.ended:
        _going_on(of)
    if not of.lines:
        st.info("No model of this run is finished yet.", icon=":material/hourglass_empty:")
        headline(of)
        return
    if of.result.unsound:
        names = ", ".join(line.title for line in of.result.unsound)
        warning = (
            f"{names}: the tuned model is no better than the untuned one on {of.result.measured_on}. Comparisons at such a "
            "learning rate mislead; lower it, or let it be found."
        )
        st.error(components.escape_markdown(warning), icon=":material/warning:")
    told, aimed = of.verdict, of.result.on_target
    first = row.container(horizontal=True, width="content")  # its controls depend on what is measured, which is an option
    with row.popover("Options", icon=":material/tune:", help="What is measured, the axes, and how pictures are saved."):
        of = _measured(of) if aimed else of
        against = query_widgets.segmented("Against", AGAINST, "against", default="sentences", help=_length_help())
        components.pictures(st)
    measure, shown = _controls(of, first)
    said = held_out_summary(of.lines, measure, str(of.run.about["equal"]))
    components.verdict(components.escape_markdown(told[-1] if told else said), help=components.helped(NATS))
    more = [*told[-2::-1], said] if told else []
    if more := [*more, *filter(None, [of.result.worth]), *of.result.disagreements]:
        st.markdown("  \n".join(map(components.escape_markdown, more)))
    headline(of)
    if aimed:
        _whose_numbers(of)
    _chart(of, measure, shown, against, said)
    st.header("Every selection", anchor=False)
    _table(of, measure)
    _losses(of)
    table, texts = "one row per selection, with intervals", "prompts and what each model wrote, as JSON lines"
    offered = [(ending, ending, partial(of.result.export, ending), table) for ending in ("csv", "json", "md")]
    offered.append(("texts", "jsonl", partial(of.result.export, "jsonl"), texts))
    name = of.name if of.result.on_target or not of.run.target else f"{of.name}-elsewhere"
    downloads.files(f"finetune-{name}", name, *offered)
    command = of.run.command or ["fishersft", "finetune", of.run.source.lower()]
    python = f"import fishersft\n\nprint(fishersft.FineTuneResult.open({of.name!r}).markdown())\n"
    components.footer(f"{shlex.join(command)} --out run", python)


def _measured(of: LoadedRun) -> LoadedRun:
    """The run as it was measured on its target or, where the visitor wants it, elsewhere."""
    help = (
        "The target: the half of its texts that chose nothing. Elsewhere: the corpus' held-out texts, which show what a model "
        "lost while it learned the target."
    )
    where = query_widgets.segmented("Measured on", ON, "measured", help=components.helped(help, "target"))
    return of.elsewhere if where == ON[1] else of


def _whose_numbers(of: LoadedRun) -> None:
    lost = "" if of.result.on_target else " Minus untuned: above 0, a model got worse there while it learned the target."
    st.caption(components.escape_markdown(f"The numbers below are of {of.result.measured_on}, which no selector saw.{lost}"))


def _length_help() -> str:
    said = "Sentences of the budget, or the trained tokens that each selection has, since some selectors prefer long texts."
    return components.helped(said, "equal tokens")


def _controls(of: LoadedRun, row: Any) -> tuple[str, str]:
    """The measure, and what is shown of it."""
    there = [name for name, measure in MEASURES.items() if measure in of.lines[0].values]
    key, usual = "minus", "minus Uniform" if any(line.minus_uniform for line in of.lines) else "nats"
    if of.run.target and not of.result.on_target:  # what was lost is told against the untuned model
        key, usual = "lost", "minus untuned"
    texts = "target's measuring" if of.result.on_target else "held-out"
    tail = (
        f"Nats per trained token of the {texts} texts; lower is better. Mean: over all tokens. The others are the tail: the "
        "95th percentile and the largest of the texts' own means, and the mean of the worst topic. The interval of the "
        "largest cannot exceed these texts: it says how sensitive it is to single texts, not how bad others may be."
    )
    if of.result.score:
        tail += (
            f" Scores are from 0 to 1, higher is better, of {len(of.run.scored):,} answers: the likeliest one against the "
            "record's, or the choice with the fewest nats."
        )
    paired = (
        "Differences are paired, text by text, so that what every model finds hard cancels and the band is narrower. Below 0 is "
        "better, but for scores above."
    )
    look: dict[str, Any] = {"place": row, "width": 165}
    measure = query_widgets.select(
        "Measure", there, "held_out", index=there.index("mean"), help=components.helped(tail, "coverage"), **look
    )
    options = list(generation_plots.MINUS)
    shown = query_widgets.select("Shown", options, key, index=options.index(usual), help=paired, **look)
    return MEASURES[measure], shown


def held_out_summary(lines: Sequence[SelectionResult], measure: str, equal: str) -> str:
    """Which selections are better or worse than a random draw at the largest budget, by how much, and what that draw has."""
    n = max((line.budget for line in lines if line.budget is not None), default=None)
    if n is None:
        return "No selection is finished yet."
    at = {line.selector: line for line in lines if line.budget == n}
    base = next((line for line in lines if line.selector == BASE), None)
    untuned = f"; the untuned model has {base.values[measure].value:.3f}" if base else ""
    start, what = f"At n = {n:,} and equal {equal}", {**generation_plots.MEASURES, **SCORES}[measure]
    unit = "" if measure in SCORES else " nats per token"
    if BASELINE not in at:
        each = ", ".join(f"{line.label} {line.values[measure].value:.3f}" for line in at.values())
        return f"{start}, the {what}: {each}{unit}{untuned}."
    told: dict[str, list[str]] = {"better than": [], "worse than": [], UNDECIDED: []}
    for line in at.values():
        if d := line.minus_uniform.get(measure):
            side = side_of(d, measure)
            off = with_interval(d, signed=True) if side == UNDECIDED else f"by {with_interval(size_of(d))}"
            told[side].append(f"{line.label} ({off.replace(' (', ', ').rstrip(')')})")
    groups = [f"{side} a random draw: {listed(some)}" for side, some in told.items() if some]
    uniform = with_interval(at[BASELINE].values[measure])
    said = f"{start}, {'; '.join(groups)}, in {unit.strip() or what}." if groups else f"{start}, only Uniform is finished."
    return f"{said} The draw's {what} is {uniform}{untuned}."


def _chart(of: LoadedRun, measure: str, shown: str, against: str, said: str) -> None:
    group = generation_plots.MINUS[shown]
    if not any(measure in getattr(line, group) for line in of.lines):
        missing = "Uniform" if shown == "minus Uniform" else "the untuned model"
        st.info(f"This run has no finished model of {missing} to compare with; choose nats instead.", icon=":material/info:")
        return
    texts = "target" if of.result.on_target else "held-out"
    height = 460 if components.touch() else 400  # there every name has a line of its own
    fig = generation_plots.held_out_figure(of.lines, measure, shown, against=against, of=texts, dark=dark(), height=height)
    key = f"{texts}-{of.name}-{measure}-{shown}-{against}"
    chart(fig, key, f"{said} Nats of the {texts} texts against the budget, as in the table below.")
    seeds = len(of.run.about["seeds"])
    texts = components.escape_markdown(of.result.measured_on)
    if measure in SCORES:
        texts = f"{len(of.run.scored):,} answers"
    few = "; two seeds say little about a third, which makes them wide" if seeds == 2 else ""
    drawn = f"over {texts} and {seeds} seeds{few}" if seeds > 1 else f"over {texts}; the chance of another seed is not included"
    told = f"Bands and brackets: 95% intervals {drawn}."
    if measure == "max":
        own = f"bands and brackets: 95% intervals over {seeds} seeds{few}" if seeds > 1 else "with one seed it has no interval"
        told = f"The largest is of these texts alone; {own}."
    st.caption(
        f"{told} No selector ever sees one of these texts. "
        + ("The bands mostly show how texts differ; minus Uniform is paired, text by text. " if shown == "nats" else "")
        + "Hover for numbers; the camera above the chart saves the picture."
    )


def _table(of: LoadedRun, measure: str) -> None:
    rows, what = [], {**NAMES, **SCORES}[measure]
    for line in of.lines:
        row: dict[str, Any] = {"selection": visible(line.label), "verdict": WORSE if line.worse else ""}
        row |= {"n": line.budget, "seeds": len(line.seeds) or None}
        row |= {"sentences": round(line.sentences), "tokens": round(line.tokens)}
        row[what] = with_interval(line.values[measure])
        for name, found in (("Uniform", line.minus_uniform), ("untuned", line.minus_base)):
            row[f"{what}, minus {name}"] = with_interval(found[measure], signed=True) if measure in found else "–"
        if score := of.result.score:
            row[SCORES[score]] = with_interval(line.values[score])
        if of.result.random_curve:
            row["as good as a random draw of"] = line.saved.worth if line.saved else "–"
            row["tokens saved"] = line.saved.words if line.saved else "–"
        row |= {NAMES[m]: with_interval(e) for m, e in line.values.items() if m in NAMES and m != measure}
        row["seconds"] = None if np.isnan(line.seconds) else round(line.seconds)
        rows.append(row)
    if not any(line.worse for line in of.lines):
        rows = [{name: value for name, value in row.items() if name != "verdict"} for row in rows]
    numbers = {name: st.column_config.NumberColumn(name, format="localized") for name in ("n", "sentences", "tokens")}
    height = "content" if len(rows) < 16 else 560
    components.table(rows, "Nats of every selection", column_config=numbers, height=height)


def _losses(of: LoadedRun) -> None:
    groups: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for name, model in of.models.items():
        if losses := model.facts.get("losses"):
            group = "whole pool" if model.budget is None else f"n = {model.budget:,}"
            groups.setdefault(group, {})[name] = [(int(step), float(loss)) for step, loss in losses]
    if not groups:
        return
    with st.expander("Losses of the training, and its learning rate", icon=":material/trending_down:"):
        _found_rate(of)
        said = "Those tuned on so many sentences."
        chosen = query_widgets.one_of("Models", list(groups), next(iter(groups)), key=f"losses-{of.name}", help=said)
        some = groups[chosen]
        fig = generation_plots.losses_figure(some, dark=dark())
        key, shown = f"losses-{of.name}-{chosen}", min(len(some), generation_plots.MOST_LOSSES)
        chart(fig, f"chart-{key}", "Training loss against the step", file=key)
        more = f", of {len(some)} models" if len(some) > shown else ""
        st.caption(f"Loss of each step's batch, {shown}{more}. Models are trained on different texts: do not compare losses.")


def _found_rate(of: LoadedRun) -> None:
    told = read_json(of.run.folder / RATE, RateFile, "delete it and resume the run")
    if told is None:
        return
    tried = ", ".join(f"{rate}: {'diverged' if v is None else f'{v:.3f}'}" for rate, v in told["nats"].items())
    sentence = (
        f"Learning rate {told['chosen']:g}, the best of those tried on {told['trained_on']:,} sentences of a uniform draw "
        f"and measured on {told['measured_on']:,} others of the pool, in nats per token: {tried}; untuned: "
        f"{told['base']:.3f}.{edge_warning(told['chosen'], told['nats'])}"
    )
    st.caption(components.escape_markdown(sentence))


@st.fragment(run_every=EVERY)
def _going_on(of: LoadedRun) -> None:
    """Losses of the models that are being trained; the page is redrawn when more are finished, at most every `PAUSE` seconds."""
    drawn = st.session_state.setdefault(f"drawn-{of.name}", (of.stamp, time.monotonic()))
    if drawn[0] != of.stamp:
        st.session_state[f"drawn-{of.name}"] = (of.stamp, time.monotonic())
    elif of.run.stamp != of.stamp and time.monotonic() - drawn[1] > PAUSE:
        st.rerun()
    if not (live := live_losses(of.run.folder)):
        return
    fig = generation_plots.losses_figure(live, dark=dark())
    st.plotly_chart(fig, theme=None, key=f"live-{of.name}", config={"displayModeBar": False}, alt="Training loss so far")
    step = {name: points[-1][0] for name, points in live.items()}
    st.caption("Being trained: " + components.escape_markdown(", ".join(f"{name}, step {k:,}" for name, k in step.items())) + ".")


def live_losses(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, loss)]} of the models in progress; a half-written line is left for the next look."""
    out: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob(f"{WORK}/*/{LOSSES}")):
        points: dict[int, float] = {}
        try:
            for line in read_whole(path).decode("utf-8").splitlines():
                told = json.loads(line)
                points[int(told["step"])] = float(told["loss"])
        except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):
            pass
        if points:
            out[path.parent.name] = sorted(points.items())
    return out
