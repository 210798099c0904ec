"""The report of a run of fine-tuning: nats on the target and elsewhere, the win rates of each judge, and texts side by side.

Everything in a run's folder may come from a stranger: names, prompts and texts are shown as they are and never obeyed.
"""

from __future__ import annotations

import shlex
from functools import partial
from typing import Any

import numpy as np

from fishersft.errors import FisherSFTError
from fishersft.export.html import Block, Code, Figure, Page, Paragraph, Section, SideBySide, Table, table_of
from fishersft.finetuning.results import FineTuneResult
from fishersft.finetuning.run import ALL, BASE, FineTuneRun
from fishersft.judge.judging import judge_reports
from fishersft.judge.report import CHANCE
from fishersft.plots import generations as generation_plots
from fishersft.store.artifacts import Store

SAMPLED, SEED = 6, 0


def finetune_page(run: FineTuneRun, store: Store | None = None) -> Page:
    """The report of the models that are finished."""
    result = FineTuneResult(run)
    corpus, done = run.about["corpus"], len(run.models)
    on = result.measured_on if result.on_target else f"held-out texts of {corpus['name']}"
    summary = f"{done:,} of {len(run.about['cells']):,} models are finished and measured on {on}."
    if result.on_target:
        summary = " ".join([*result.verdict, summary, "No selector saw one of them."])
    if result.unsound:
        summary += (
            f" {len(result.unsound)} tuned selections are no better than the untuned model: comparisons at such a learning rate "
            "mislead."
        )
    judge = f"fishersft judge {shlex.quote(run.id)}"
    again = [Code("Fine-tune", shlex.join(run.command))] if run.command else []
    python = f"import fishersft\n\nprint(fishersft.FineTuneResult.open({run.id!r}).markdown())\n"
    parts = [
        Section("What was asked", (table_of("Settings", _asked(result)), table_of("Versions", [*run.versions.items()]))),
        Section("On the target", tuple(_measured(result))) if result.on_target else None,
        Section("What was lost elsewhere" if result.on_target else "Held-out texts", tuple(_measured(result.elsewhere))),
        Section("Whose texts are better", tuple(_judged(run, store))),
        Section("Side by side", tuple(_side_by_side(run))),
        Section("How to reproduce it", (*again, Code("Judge its texts", judge), Code("Python", python))),
    ]
    title = f"{run.about['model']['name']} fine-tuned on selections of {corpus['name']}"
    return Page(title, run.id, summary, tuple(part for part in parts if part and part.blocks))


def _asked(result: FineTuneResult) -> list[tuple[str, Any]]:
    about = result.run.about
    corpus, model = about["corpus"], about["model"]
    settings = [", ".join(f"{k}={v}" for k, v in s["parameters"].items()) for s in about["selectors"]]
    selectors = [s["label"] + (f" ({given})" if given else "") for s, given in zip(about["selectors"], settings, strict=True)]
    target = about.get("target") or {}
    halves = [target[half] for half in ("choosing", "measuring", "near_duplicates") if half in target]
    return [
        ("corpus", corpus["name"]),
        ("corpus fingerprint", corpus.get("fingerprint")),
        ("records, held out, pool", [corpus[k] for k in ("records", "held_out", "pool") if k in corpus] or None),
        ("near-duplicates", result.near_duplicates or None),
        ("target", target.get("name")),
        ("target seed", target.get("seed")),
        ("target texts that choose, that measure, near-duplicates that left the pool", halves or None),
        ("model", model["name"]),
        ("model revision", model.get("revision") or None),
        ("model fingerprint", model.get("fingerprint")),
        ("selectors", selectors),
        ("budgets, sentences", about["budgets"]),
        ("at equal", about.get("equal")),
        ("seeds", about.get("seeds")),
        ("max tokens", about.get("max_tokens")),
        ("training", about.get("training")),
        ("prompts and sampling", about.get("prompts")),
        ("scored answers", len(result.run.scored) or None),
    ]


def _measured(result: FineTuneResult) -> list[Block]:
    """Figures of the mean, and of a paired difference where there is one, and the table.

    The difference is to Uniform or, of what a target was measured elsewhere, to the untuned model.
    """
    try:
        head, rows = result.text_table()
    except FisherSFTError as error:
        return [Paragraph(str(error))]
    tuned = [line for line in result.lines if line.budget is not None]
    lost = result.run.target is not None and not result.on_target
    minus = "minus untuned" if lost else "minus Uniform"
    texts, out = "target" if result.on_target else "held-out", list[Block]()
    for kind, there in (("nats", tuned), (minus, any(getattr(line, generation_plots.MINUS[minus]) for line in tuned))):
        if there:
            what = f"Mean nats per {texts} token" + ("" if kind == "nats" else f", {kind}, text by text")
            alt = f"{what}, against sentences of a selection: one line with a band per selector; the numbers are in the table."
            name = f"{result.run.id}-{texts}{'' if kind == 'nats' else '-difference'}"
            draw = partial(generation_plots.held_out_figure, result.lines, "mean", kind, of=texts)
            said = (
                " Above 0, the model lost there what it knew before it was tuned for the target."
                if kind == "minus untuned"
                else ""
            )
            out.append(Figure.of(draw, name, alt, f"{what}; lower is better. Bands: 95% intervals.{said}"))
    over = "texts and seeds (the largest: seeds)" if len(result.run.about["seeds"]) > 1 else "texts (the largest: none)"
    caption = f"Nats per {texts} token, lower is better, with 95% intervals over {over}"
    on = f": {result.measured_on}" if result.run.target else ""
    out += [Paragraph(sentence) for sentence in [result.worth, *result.disagreements] if sentence]
    return [*out, Table(f"{caption}{on}", tuple(head), tuple(map(tuple, rows)))]


def _judged(run: FineTuneRun, store: Store | None) -> list[Block]:
    try:
        reports = judge_reports(run, store)
    except FisherSFTError as error:
        return [Paragraph(str(error))]
    out: list[Block] = []
    for report in reports:
        who = f"{report.label}, {report.protocol}"
        if report.examined:
            known = report.examined.table()
            caption = f"{who}: pairs with a known answer, and in how many of them it names the better text in both orders"
            out += [Table(caption, tuple(known[0]), tuple(tuple(map(str, row.values())) for row in known))] if known else []
            out.append(Paragraph(f"{report.examined.summary} {report.examined.canary}" if known else report.examined.canary))
        if rows := report.table():
            caption = f"{who}: how often a's text is better, ties as halves, with 95% intervals clustered by prompt"
            out.append(Table(caption, tuple(rows[0]), tuple(tuple(map(str, row.values())) for row in rows)))
        if report.refusal:
            out.append(Paragraph(f"No ranking is drawn. {report.refusal}"))
        elif len(report.matrix) > 2:
            alt = f"{report.label}: how often the row's texts are better than the column's; the numbers are in the table."
            caption = f"{report.label}: how often the row wins against the column, over all budgets, with 95% intervals."
            draw = partial(generation_plots.matrix_figure, report.matrix, report.labels)
            out.append(Figure.of(draw, f"{report.run}-win-rates", alt, caption))
        out += [Paragraph(sentence) for sentence in report.contradictions]
        out.append(Paragraph(f"{CHANCE} {report.biases} {report.power}"))
        if report.paper_note:
            out.append(Paragraph(report.paper_note))
    return out or [Paragraph(f"Nobody has judged this run yet; fishersft judge {run.id} does.")]


def _side_by_side(run: FineTuneRun) -> list[Block]:
    """Prompts drawn with a fixed seed, never by hand: what each selector's model of the largest budget wrote."""
    labels, cells = run.labels, run.models
    budgets = [c.budget for c in cells.values() if c.budget is not None]
    least = min((c.seed for c in cells.values() if c.seed is not None), default=None)
    chosen = [c for c in cells.values() if c.selector in (BASE, ALL) or (c.budget == max(budgets) and c.seed == least)]
    texts = {c.name: {t.prompt: t.text for t in run.texts(c.name)} for c in chosen}
    prompts = [p for p in run.prompts if all(p.number in found for found in texts.values())] if chosen else []
    if not prompts:
        return []
    drawn = np.random.default_rng(SEED).choice(len(prompts), min(SAMPLED, len(prompts)), replace=False)
    sides = [
        SideBySide(
            prompts[k].text,
            (
                ("The record itself", prompts[k].continuation),
                *((labels.get(c.selector, c.selector), texts[c.name][prompts[k].number]) for c in chosen),
            ),
        )
        for k in sorted(int(i) for i in drawn)
    ]
    where = f" of {max(budgets):,} sentences" if budgets else ""
    words = f"{len(sides)} of {len(prompts):,} prompts, drawn with seed {SEED}; models{where}, training seed {least}."
    return [Paragraph(words), *sides]
