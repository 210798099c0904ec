"""The Read section: two models' texts after one prompt, the differing words marked, and what each judge said of them.

The texts are untrusted: they go into HTML escaped, into tables and plain elements as they are, and never into Markdown.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from fishersft.finetuning.run import Generated, Prompt
from fishersft.judge import verdicts
from fishersft.judge.base import FIRST, SECOND, TIE, A, B, Judgment, TextPair, Verdict, settled, without_asking
from fishersft.judge.report import EARLIER
from fishersft.selectors import DEFAULT_SELECTOR
from fishersft.text import Span, compared, share_alike, visible, visible_text
from fishersft.ui import components
from fishersft.ui.components import dark, escape_markdown, one_line
from fishersft.ui.generations.page_state import LoadedRun, choose, damage_reported, label
from fishersft.ui.session import Session

OWN, RECORD = "own", "The record itself"  # the record's own continuation, and what it is called
OTHERWISE = {TIE: "neither", "refused": "refused to answer", "unparsable": "could not be read", "too_long": "was too long"}
LONGEST = 6_000  # characters of a text on the screen
SHORT = 40  # characters of a reply that a table's cell shows well


@dataclass(frozen=True)
class Side:
    who: str
    label: str
    text: str
    tokens: int | None
    ended: bool


def section(of: LoadedRun, row: Any, visitor: Session) -> None:
    """Two texts and what was said of them; `row` takes the choice of the two."""
    with damage_reported(of.run):
        written = {name: {g.prompt: g for g in of.run.texts(name)} for name in of.models}
        prompts = [p for p in of.run.prompts if any(p.number in texts for texts in written.values())]
    if not prompts:
        st.info("This run has no texts: it was set up without prompts, or no model is finished yet.", icon=":material/notes:")
        return
    a, b, budget, seed = _choose(of, row, visitor)
    prompt = _prompt(of, prompts, visitor)
    left, right = (_side(of, written, which, budget, seed, prompt) for which in (a, b))
    _given(of, prompt)
    columns = st.columns(2, gap="medium")
    if left is None or right is None:
        st.info("One of these models is not finished yet; choose another.", icon=":material/hourglass_empty:")
        return
    spans = compared(left.text, right.text)
    for column, side, mine in zip(columns, (left, right), spans, strict=True):
        with column:
            _text(side, mine)
    alike = share_alike(left.text, right.text)
    st.caption(f"Underlined: words that the other text lacks in this order; {100 * alike:.0f}% of the words are common to both.")
    if OWN not in (a, b):
        _verdicts(of, prompt, left, right)
    _everyone(of, written, prompt)


def _choose(of: LoadedRun, row: Any, visitor: Session) -> tuple[str, str, int | None, int]:
    """Two models: selectors or the record itself, at one budget and seed."""
    tuned = list(dict.fromkeys(c.selector for c in of.models.values()))
    options = [*tuned, OWN]
    usual: list[str] = [name for name in (DEFAULT_SELECTOR, "uniform") if name in tuned]
    usual = [*usual, *(name for name in tuned if name not in (*usual, "base")), *options][:2]
    look: dict[str, Any] = {
        "place": row,
        "width": 170,
        "format_func": lambda option: RECORD if option == OWN else of.label(option),
    }
    look["help"] = "The model whose text is shown here."
    left = choose("left", "Left", options, usual[0], visitor, **look)
    right = choose("right", "Right", options, usual[1], visitor, **look)
    budgets = sorted({c.budget for c in of.models.values() if c.budget is not None}) or [0]
    seeds = sorted({c.seed for c in of.models.values() if c.seed is not None and c.budget is not None}) or [0]
    look = {"place": row, "width": 100, "help": "Sentences it was tuned on."}
    at = choose("at", "n", budgets, budgets[-1], visitor, format_func=lambda n: f"{n:,}" if n else "–", **look)
    look["help"] = "Seed of the draw and of the training."
    draw = choose("draw", "Seed", seeds, seeds[0], visitor, **look)
    return left, right, at or None, draw


def _prompt(of: LoadedRun, prompts: Sequence[Prompt], visitor: Session) -> Prompt:
    """One prompt, reached in steps: there is no search for a flattering one."""
    numbers = [p.number for p in prompts]
    names = {p.number: f"{p.number + 1} of {len(prompts)}: {one_line(visible(one_line(p.text, 70)), 70)}" for p in prompts}

    def step(by: int) -> None:
        key = "generations-prompt"
        st.session_state[key] = numbers[(numbers.index(st.session_state[key]) + by) % len(numbers)]

    row = st.container(horizontal=True, vertical_alignment="bottom", key="prompt-steps")
    row.button("", icon=":material/chevron_left:", on_click=step, args=(-1,), key="prompt-back", help="The previous prompt")
    row.button("", icon=":material/chevron_right:", on_click=step, args=(1,), key="prompt-on", help="The next prompt")
    look = {"place": row, "format_func": names.__getitem__, "width": "stretch", "help": "The first words of a held-out record."}
    number = choose("prompt", "Prompt", numbers, numbers[0], visitor, **look)
    return next(p for p in prompts if p.number == number)


def _given(of: LoadedRun, prompt: Prompt) -> None:
    told, seed, settings = of.run.about.get("prompts"), "", ""
    if isinstance(told, dict) and told:
        seed = f" ({told.get('seed')})"
        settings = (
            f" At most {told.get('new_tokens')} new tokens, temperature {told.get('temperature')}, top p {told.get('top_p')}; "
            "every model gets the same random numbers."
        )
    given = f"Given: the beginning of held-out record {prompt.index}. Prompts are drawn by a seed{seed}, never picked by hand."
    st.caption(escape_markdown(given + settings))
    boxed(prompt.text)


def _side(
    of: LoadedRun, written: Mapping[str, Mapping[int, Generated]], which: str, budget: int | None, seed: int, prompt: Prompt
) -> Side | None:
    if which == OWN:
        return Side(RECORD, RECORD, prompt.continuation, None, True)
    mine = [c for c in of.models.values() if c.selector == which]
    exact = [c for c in mine if c.budget == budget and c.seed == seed]
    free = [c for c in mine if c.budget is None]  # one without a budget stands for all budgets
    cell = next(iter([*exact, *(c for c in free if c.seed == seed), *free]), None)
    text = written.get(cell.name, {}).get(prompt.number) if cell else None
    if cell is None or text is None:
        return None
    n = "" if cell.budget is None else f", {cell.sentences:,} sentences, {cell.tokens:,} tokens"
    who = of.label(which)
    return Side(who, f"{who}{n}", text.text, text.tokens, text.ended)


_BOX = "border:1px solid rgba(128,128,128,.35);border-radius:.5rem;padding:.6rem .8rem;overflow-wrap:anywhere;line-height:1.6"


def boxed(text: str) -> None:
    st.html(f'<div style="{_BOX};unicode-bidi:isolate">{_escaped(text)}</div>')


def _text(side: Side, spans: Sequence[Span]) -> None:
    size = "" if side.tokens is None else f": {side.tokens:,} tokens, {'ended by itself' if side.ended else 'cut off'}"
    st.markdown(f"**{escape_markdown(label(side.label, 80))}**{size}")
    st.html(f'<div style="{_BOX};min-height:6rem">{marked(spans)}</div>')


def marked(spans: Sequence[Span]) -> str:
    """Spans as HTML: text escaped, differing words underlined on a tint."""
    rgb = "230,159,0" if dark() else "213,94,0"
    style = f"background:rgba({rgb},.16);text-decoration:underline;text-decoration-color:rgba({rgb},.9);unicode-bidi:isolate"
    out, left = [], LONGEST
    for span in spans:
        if left <= 0:
            out.append('<span style="opacity:.6"> … (the rest is not shown)</span>')
            break
        shown = _escaped(span.text[:left])
        left -= len(span.text)
        out.append(f'<span style="{style}">{shown}</span>' if span.differs else f"<span>{shown}</span>")
    return "".join(out) or '<span style="opacity:.6">(nothing)</span>'


def _escaped(text: str) -> str:
    """Text for HTML: marks spelled out, line ends kept."""
    return html.escape(visible_text(text, LONGEST)).replace("\n", "<br>")


def _verdicts(of: LoadedRun, prompt: Prompt, left: Side, right: Side) -> None:
    pair = TextPair(prompt.text, left.text, right.text)
    if alone := without_asking(pair):
        why = "The texts are identical: a tie" if alone.how == "identical" else "One text is empty and loses"
        st.caption(f"{why}; no judge is asked.")
        return
    told: list[tuple[str, Verdict]] = []
    with damage_reported(of.run):
        for about in verdicts.judges_of(of.run):
            kept = verdicts.StoredJudgments(of.run, str(about["id"]))
            if verdict := settled(pair, kept, str(about["id"]), reads_words=bool(about["reads_words"])):
                told.append((f"{about['label']}, {about.get('protocol') or EARLIER}", verdict))
    if not told:
        st.caption("No judge has read this pair; Win rates has a form that asks one.")
        return
    rows = [_row(judge, verdict, left, right) for judge, verdict in told]
    components.table(rows, "What judges said of these two texts", height="content")
    st.caption("A judge sees no names and reads both orders; a verdict that changes with the order is a tie.")
    for judge, verdict in told:
        replies = [reply_of(one) for one in verdict.judgments]
        if not any(len(reply) > SHORT for reply in replies):
            continue
        st.markdown(f"**{escape_markdown(label(judge))}**, in its own words")  # in full: a table's cell is too narrow
        for column, order, reply in zip(st.columns(2, gap="medium"), ("Left first", "Right first"), replies, strict=True):
            with column:
                st.caption(order)
                boxed(reply)


def _row(judge: str, verdict: Verdict, left: Side, right: Side) -> dict[str, Any]:
    def said(one: Judgment | None, first: str, second: str) -> str:
        if one is None:
            return "–"
        return {FIRST: f"the {first} one", SECOND: f"the {second} one"}.get(one.said, OTHERWISE.get(one.said, "?"))

    names = {A: left.who, B: right.who}
    winner = names.get(verdict.winner, "tie" + (" (the order changed it)" if verdict.flipped else ""))
    if verdict.addressed or verdict.noticed:
        winner += " (set aside: a text speaks to its judge)"
    return {
        "judge": label(judge),
        "verdict": label(winner, 90),
        "left first": said(verdict.forward, "left", "right"),
        "right first": said(verdict.backward, "right", "left"),
        "in the judge's words": _words(verdict),
    }


def _words(verdict: Verdict) -> str:
    """What is behind both judgments; from a judge that reads each text alone the second order adds nothing."""
    said = [words_of(r, names) for r, names in zip(verdict.judgments, (("left", "right"), ("right", "left")), strict=True)]
    alone = verdict.forward is not None and not {"target", "score_first", "score_second"}.isdisjoint(verdict.forward.facts)
    said = said[:1] if alone else said
    if any(len(reply_of(one)) > SHORT for one in verdict.judgments):
        return "see below"  # both of them, in full
    return "; ".join(s for s in said if s) or "–"


def reply_of(one: Judgment) -> str:
    """The judge's reply; "" where none is stored: it says nothing in words, or an earlier version asked it."""
    reply = one.facts.get("reply")
    return reply if isinstance(reply, str) else ""


def words_of(one: Judgment, names: tuple[str, str]) -> str:
    """What is behind a judgment: the reply where one is stored, else its numbers."""
    facts = one.facts
    if reply := reply_of(one):
        return f"{names[0]} first: “{label(reply, SHORT)}”"
    if "score_first" in facts or "score_second" in facts:
        first, second = (_nats(facts.get(name)) for name in ("score_first", "score_second"))
        return f"{names[0]} {first}, {names[1]} {second} nats per token; the higher one wins"
    if "target" in facts:  # of an earlier rule
        first, second = (_nats(facts.get(name)) for name in ("nats_first", "nats_second"))
        own = _nats(facts["target"])
        return f"{names[0]} {first}, {names[1]} {second} nats per token; the corpus' own texts {own}; the nearer one wins"
    if "p_first" in facts:
        share = f"with the {names[0]} one first, its probability is {_nats(facts['p_first'])}"
        return share + (f" of {_nats(facts['mass'])} on both labels" if "mass" in facts else "")
    return ""


def _nats(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "–"


def _everyone(of: LoadedRun, written: Mapping[str, Mapping[int, Generated]], prompt: Prompt) -> None:
    with st.expander("What every model wrote", icon=":material/list:"):
        rows: list[dict[str, Any]] = []
        for name, texts in written.items():
            if mine := texts.get(prompt.number):
                model = of.models[name]
                numbers = {"n": model.budget, "seed": model.seed, "tokens": mine.tokens}
                rows.append({"model": of.label(model.selector), **numbers, "text": visible_text(one_line(mine.text, 600))})
        rows.append({"model": RECORD, "text": visible_text(one_line(prompt.continuation, 600))})
        wide = {"text": st.column_config.TextColumn("text", width="large")}
        components.table(rows, "The text of each model", column_config=wide)
