"""The panels of the Runs page: a list of each kind of run; look, steer, export, delete.

A new kind of run gets a `RunSection` here and a reader in `catalogue`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from fishersft import catalogue
from fishersft.catalogue import ARENA, CURVES, FINETUNED, JOB, SELECTION, Run
from fishersft.errors import FisherSFTError
from fishersft.export.provenance import command_of, python_of
from fishersft.export.report import report
from fishersft.finetuning.run import RUN
from fishersft.paths import stamp
from fishersft.pipeline import selections
from fishersft.store import jobs
from fishersft.store.job_table import RUNNING
from fishersft.text import counted, duration, listed, moment, visible, visible_text
from fishersft.ui import components, downloads, job_panel, query_widgets
from fishersft.ui.components import one_line
from fishersft.ui.session import public

MOST_ROWS = 500
MOST_CARDS = 40  # on a phone
MOST_WHOLE, TALLEST = 16, 560  # rows of a list that is shown whole, and pixels of a longer one
KEPT = {SELECTION: "selection", FINETUNED: "fine-tuning", CURVES: "curve", ARENA: "arena"}
SHORT = 12  # characters of an id
LONG = ("what", "problem")  # columns whose texts are not cut short


@dataclass(frozen=True)
class RunSection:
    """How a kind of run is listed.

    Attributes:
        noun: what one of them is called.
        parameter: the address' name for the id; also the column of ids.
        made: the column of dates.
        empty: what is said where there is none.
        page: where such runs are made; "" where no page makes them.
        deleted: what Delete deletes.
        below: draws the chosen run below the list and returns the row of its buttons.
    """

    kind: str
    noun: str
    parameter: str
    made: str
    empty: str
    page: str
    deleted: str
    below: Callable[[Run], Any]


def set_aside() -> None:
    """Say which databases were damaged and replaced by empty ones, and which rows are left out."""
    for sentence in jobs.left_out():
        st.warning(components.escape_markdown(sentence), icon=":material/heart_broken:")


def verdict(every: Sequence[Run]) -> None:
    """What is at work now and how far it is, and how much is kept."""
    going = [run.content for run in every if run.kind == JOB and not run.problem and not run.content.ended]
    running = [job for job in going if job.state == RUNNING]
    now = []
    if running:
        left = "" if running[0].eta is None else f", about {duration(running[0].eta)} left"
        now = [
            f"{counted(len(running), 'job')} {'is' if len(running) == 1 else 'are'} running ({running[0].share:.0%} done{left})"
        ]
    if waiting := len(going) - len(running):
        now.append(f"{counted(waiting, 'job')} {'waits' if waiting == 1 else 'wait'}")
    kept = {kind: sum(run.kind == kind for run in every) for kind in KEPT}
    words = listed([counted(n, KEPT[kind]) for kind, n in kept.items() if n]) or "nothing"
    shipped = sum(run.shipped for run in every)
    total = sum(kept.values())
    more = f", {'all' if shipped == total else f'{shipped} of them'} shipped with fishersft" if shipped else ""
    verb = "is" if total <= 1 else "are"
    components.verdict(f"{' and '.join(now) or 'Nothing is running'}; {words} {verb} kept{more}.")


def choose_section(every: Sequence[Run]) -> str:
    """Which kind is listed, at first the first of which there are any; a link to a run opens its list."""
    opens = next((name for name, section in SECTIONS.items() if section.parameter in st.query_params), None)
    if opens and "show" not in st.session_state and st.query_params.get("show") not in SECTIONS:
        st.session_state["show"] = opens
    there = {run.kind for run in every}
    usual = next((name for name, section in SECTIONS.items() if section.kind in there), next(iter(SECTIONS)))
    return query_widgets.segmented(
        "Show",
        [name for name, section in SECTIONS.items() if not (public() and section.kind in (JOB, SELECTION))],
        "show",
        default=usual,
        wrap=True,
        help="Jobs: long work in the background. Selections: what `fishersft select` kept. Curves: results of error curves. "
        "Generations: fine-tuned runs.",
    )


def show(name: str, every: Sequence[Run]) -> None:
    """The list of a section, and the chosen run below it."""
    section = SECTIONS[name]
    there = [run for run in every if run.kind == section.kind]
    if not there:
        _asked(section.parameter, [])
        st.info(section.empty, icon=":material/inbox:")
        if section.page:
            label = f"Go to {section.page.capitalize()}"
            st.page_link(f"pages/{section.page}.py", label=label, icon=":material/arrow_forward:")
        return
    usual = there[0]
    if section.kind == JOB:
        active = sorted((run for run in there if not run.content.ended), key=lambda run: run.content.state != "running")
        usual = (active or there)[0]
    id = _list(section, there, usual.id)
    if section.kind == JOB:
        st.button("Look again", icon=":material/refresh:", help="The list is read once; the job below is watched while it runs.")
    run = next(run for run in there if run.id == id)
    st.header(f"{section.noun} {components.escape_markdown(run.id)}", anchor=False)
    try:
        _ = run.opened
        row = section.below(run)
    except FisherSFTError as error:
        components.problem(str(error))
        row = st.container(horizontal=True)
    if row is not None and not run.shipped and (run.content.ended if run.kind == JOB else not catalogue.writer_of(run)):
        _delete(row, run, section)


def _job(run: Run) -> Any:
    """The job in full; what it made is one click away."""
    job = job_panel.watch(run.id, link=False)
    if job is None:
        return None
    row = st.container(horizontal=True, vertical_alignment="center")
    if job.kind == "curves" and job.out and job.state == "done":
        _open_in(row, "curves", job.out.name)
    if job.kind in ("finetune", "judge") and job.out and stamp(job.out / RUN):
        _open_in(row, "generations", job.out.name)
    return row


def _selection(run: Run) -> Any:
    """The picks of a selection, and its files."""
    found = selections.load_kept(run.id)
    picks = found.picks
    st.markdown(f"{len(picks):,} of {found.manifest['pool']:,} sentences, {int(picks['tokens'].sum()):,} tokens")
    shown = picks.head(MOST_ROWS).map(lambda value: one_line(value) if isinstance(value, str) else value)
    st.dataframe(shown, hide_index=True, height=280, placeholder="", alt="The picks of the run, in order")
    files = st.container(horizontal=True, vertical_alignment="bottom")
    downloads.selection(found.name, lambda: found, f"run-{run.id}", files)
    again = f"{command_of(found)}\nfishersft export {run.id} --out picks.jsonl"
    kept = f"# or the kept one\nmanifest, picks = fishersft.load_selection({run.id!r})"
    components.footer(again, f"{python_of(found)}\n{kept}\n")
    return files


def _reported(run: Run, page: str, stem: str) -> Any:
    """A link to the run on its own page, and its report."""
    row = st.container(horizontal=True, vertical_alignment="center")
    _open_in(row, page, run.id)
    downloads.report(partial(report, str(run.folder)), f"{stem}-{run.id}", row)
    return row


def _ranked(run: Run) -> Any:
    """A link to the arena on its own page, and its numbers."""
    row = st.container(horizontal=True, vertical_alignment="center")
    _open_in(row, "evidence", run.id)
    row.download_button("JSON", lambda: json.dumps(run.opened.as_dict()), f"arena-{run.id}.json", icon=":material/download:")
    return row


def _open_in(row: Any, page: str, id: str) -> None:
    parameter, icon = OPENS[page]
    label = f"Open in {page.capitalize()}"
    row.page_link(f"pages/{page}.py", label=label, icon=f":material/{icon}:", query_params={parameter: id})


OPENS = {  # the page's parameter for a run, and its icon
    "curves": ("result", "show_chart"),
    "generations": ("run", "forum"),
    "evidence": ("arena", "leaderboard"),
}
SECTIONS = {
    "jobs": RunSection(
        kind=JOB,
        noun="Job",
        parameter="job",
        made="since",
        empty="No job yet. Long work, such as error curves, runs as one and is listed here.",
        page="curves",
        deleted="its row and its log; what it made stays",
        below=_job,
    ),
    "selections": RunSection(
        kind=SELECTION,
        noun="Selection",
        parameter="run",
        made="made",
        empty="No selection is kept yet. This keeps one: `fishersft select demo --budget 120 --out picks.jsonl`",
        page="",
        deleted="this selection",
        below=_selection,
    ),
    "curves": RunSection(
        kind=CURVES,
        noun="Curves",
        parameter="result",
        made="made",
        empty="No error curves yet.",
        page="curves",
        deleted="this result and its records",
        below=partial(_reported, page="curves", stem="curves"),
    ),
    "generations": RunSection(
        kind=FINETUNED,
        noun="Fine-tuning",
        parameter="finetuned",
        made="made",
        empty="No fine-tuned run yet.",
        page="generations",
        deleted="this run with its models and texts; votes and judgments on them stay",
        below=partial(_reported, page="generations", stem="finetune"),
    ),
    "arenas": RunSection(
        kind=ARENA,
        noun="Arena",
        parameter="ranked",
        made="made",
        empty="No arena yet: it ranks selectors after fine-tuning. `fishersft arena --selectors token_od,uniform`",
        page="evidence",
        deleted="this arena with its runs and models",
        below=_ranked,
    ),
}


def _asked(key: str, ids: Sequence[str]) -> str | None:
    """The id that the address asks for; a warning where there is none or several such."""
    asked = st.query_params.get(key, "")
    matching = [id for id in ids if asked and id == asked] or [id for id in ids if asked and id.startswith(asked)]
    if asked and len(matching) != 1:
        told = f"Several {key}s begin with" if matching else f"There is no {key}"
        sentence = f"{told} '{asked[:SHORT]}' here{'' if matching else ' (any more)'}."
        st.warning(components.escape_markdown(sentence), icon=":material/link_off:")
    return matching[0] if len(matching) == 1 else None


def _list(section: RunSection, there: Sequence[Run], usual: str) -> str:
    """The list, on a phone as cards; the id of the chosen run, which the address carries too."""
    key, ids = section.parameter, [run.id for run in there]
    chosen = _asked(key, ids) or usual
    rows = []
    for run in there[:MOST_ROWS]:
        facts = {name.replace("log_det", "log det (nats)"): _cell(name, value) for name, value in run.facts.items()}
        problem = {"problem": _cell("problem", run.problem)} if run.problem else {}
        rows.append({key: run.id, **facts, **problem, section.made: "shipped" if run.shipped else moment(run.made)})
    if components.touch():
        _cards(key, rows, chosen)
        return chosen
    name = f"table-{key}-{len(ids)}"

    def picked() -> None:
        row = components.marked_row(st.session_state[name], len(ids))
        if row is not None:
            st.query_params[key] = ids[row]

    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key=name,
        on_select=picked,
        selection_mode="single-row",
        placeholder="",
        height="content" if len(rows) < MOST_WHOLE else TALLEST,
        alt=f"One row a {key}, the newest first",
        column_config={
            "done": st.column_config.ProgressColumn("done", min_value=0, max_value=1, format="percent", width=90),
            section.made: st.column_config.TextColumn(section.made, width=130),
            **{name: st.column_config.TextColumn(name, width="large") for name in LONG},
            key: st.column_config.TextColumn(key, width=130),
        },
    )
    st.caption(f"{len(ids):,} in all. Click the box before a row to open it below.")
    return chosen


def _cards(key: str, rows: Sequence[dict[str, Any]], chosen: str) -> None:
    """A card for each run, with a button that opens it."""
    for row in rows[:MOST_CARDS]:
        id = str(row[key])
        with st.container(border=True, gap="small"):
            title, rest = str(row.get("what") or row.get("name") or id), [n for n in row if n not in ("what", "name", key)]
            told = [_fact(name, row[name]) for name in rest if row[name] not in (None, "")]
            st.markdown(f"**{components.escape_markdown(title)}**  \n{components.escape_markdown(' · '.join(told))}")

            def opened(id: str = id) -> None:
                st.query_params[key] = id

            st.button("Shown below" if id == chosen else "Open below", key=f"open-{id}", on_click=opened, disabled=id == chosen)
    shown = f" The {MOST_CARDS} newest are shown." if len(rows) > MOST_CARDS else ""
    st.caption(f"{len(rows):,} in all.{shown}")


def _fact(name: str, value: Any) -> str:
    return f"{value:.0%} done" if name == "done" else f"{name} {components.in_words(value)}"


def _cell(name: str, value: Any) -> Any:
    if name == "took":
        return duration(value)
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if not isinstance(value, str):
        return value
    return visible_text(one_line(value, 160)) if name in LONG else visible(one_line(value, 60))


def _delete(row: Any, run: Run, section: RunSection) -> None:
    """A button behind a second one."""
    if public():
        return
    with row.popover("Delete", icon=":material/delete:"):
        st.markdown(f"Delete {section.deleted}?")
        if st.button("Yes, delete", key=f"delete-{run.id}", type="primary"):
            try:
                catalogue.remove_run(run)
            except FisherSFTError as error:
                components.problem(str(error))
                return
            st.query_params.pop(section.parameter, None)
            st.rerun()
