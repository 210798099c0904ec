"""The panels of the Runs page: jobs, kept selections, error curves and fine-tuned runs; look, steer, export, delete.

A new kind of saved run gets a function here and a line in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from fishersft.errors import FisherSFTError
from fishersft.experiments import stored
from fishersft.export.curves_report import found_page
from fishersft.export.finetune_report import finetune_page
from fishersft.export.reproduce_code import command_of, python_of
from fishersft.finetuning import run_list as finetune_found
from fishersft.finetuning.run import RUN
from fishersft.pipeline import selections
from fishersft.store import jobs
from fishersft.text import duration, moment, visible, visible_text
from fishersft.ui import components, downloads, job_panel, query_widgets
from fishersft.ui.components import one_line
from fishersft.ui.session import public

MOST_ROWS = 500
SHORT = 12  # characters of an id


LISTED = {"job": "jobs", "run": "selections", "result": "curves", "finetuned": "generations"}  # parameter: its list


def choose_section() -> str:
    """What is listed; a link to a job or a run opens its list."""
    opens = next((section for key, section in LISTED.items() if key in st.query_params), None)
    if opens and "show" not in st.session_state and st.query_params.get("show") not in SECTIONS:
        st.session_state["show"] = opens
    return query_widgets.segmented(
        "Show",
        list(SECTIONS),
        "show",
        help="Jobs: long work in the background. Selections: what `fishersft select` kept. Curves: results of error curves. "
        "Generations: runs of fine-tuning.",
    )


def job_section() -> None:
    """All jobs, the chosen one in full."""
    there = jobs.jobs()
    if not there:
        _stale("job", [])
        _empty("No job yet. Long work, such as error curves, runs as one and is listed here.", "pages/curves.py", "Go to Curves")
        return
    rows = [
        {
            "job": job.id,
            "state": "stopping" if job.stopping else job.state,
            "kind": visible(job.kind),
            "what": visible_text(job.title),
            "done": round(job.done / job.total, 2) if job.total else float(job.state == "done"),
            "since": datetime.fromtimestamp(job.started or job.queued),
            "took": duration(job.seconds),
        }
        for job in there
    ]
    active = sorted((job for job in there if not job.ended), key=lambda job: job.state != "running")
    id = _table(rows, "job", (active or there)[0].id)
    st.button("Look again", icon=":material/refresh:", help="The list is read once; the job below is watched while it runs.")
    job = job_panel.watch(id, link=False) if id else None
    if job is None:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    if job.kind == "curves" and job.out and job.state == "done":
        _to_curves(row, job.out.name)
    if job.kind in ("finetune", "judge") and job.out and (job.out / RUN).exists():
        _to_generations(row, job.out.name)
    if job.ended:
        _delete(row, job.id, "its row and its log; what it made stays", partial(jobs.remove, job.id), "job")


def selection_section() -> None:
    """Selections that `fishersft select` kept, and their files."""
    kept = selections.saved_selections()
    if not kept:
        _stale("run", [])
        st.info(
            "No selection is kept yet. This keeps one: `fishersft select demo --budget 120 --out picks.jsonl`",
            icon=":material/inbox:",
        )
        return
    columns = {
        "name": "name",
        "selector": "selector",
        "corpus": "corpus",
        "model": "model",
        "sentences": "sentences",
        "tokens": "tokens",
    }
    columns |= {"log_det": "log det (nats)", "seed": "seed", "made": "made"}
    rows = [{"run": m["key"][:SHORT], **{name: _cell(m.get(key)) for key, name in columns.items()}} for m in kept]
    for row in rows:
        row["made"] = str(row["made"])[:16].replace("T", " ")
    id = _table(rows, "run", rows[0]["run"])
    if not id:
        return
    found = selections.load_kept(id)
    picks = found.picks
    st.markdown(
        f"**Run {found.id}**: {len(picks):,} of {found.manifest['pool']:,} sentences, {int(picks['tokens'].sum()):,} tokens"
    )
    shown = picks.head(MOST_ROWS).map(lambda value: one_line(value) if isinstance(value, str) else value)
    st.dataframe(shown, hide_index=True, height=280, placeholder="", alt="The picks of the run, in order")
    files = st.container(horizontal=True, vertical_alignment="bottom")
    downloads.selection(found, f"run-{id}", row=files)
    _delete(files, id, "this selection", partial(selections.remove_selection, id), "run")
    again = f"{command_of(found, shared=public())}\nfishersft export {id} --out picks.jsonl"
    components.footer(again, f"{python_of(found, shared=public())}\n{_PYTHON.format(id=id)}")


_PYTHON = """# or the kept one
from fishersft.runs.selections import load_selection

manifest, picks = load_selection({id!r})
"""


def curve_section() -> None:
    """Error curves: those that ship and those of the visitor's own."""
    there = stored.found()
    rows = [
        {
            "result": one.id,
            "kind": one.kind,
            "what": visible_text(one.about.title),
            "equal": one.settings.get("equal", ""),
            "runs": one.settings.get("runs"),
            "made": "shipped" if one.shipped else moment(one.changed),
        }
        for one in there
    ]
    if not rows:
        _stale("result", [])
        _empty("No error curves yet.", "pages/curves.py", "Go to Curves")
        return
    id = _table(rows, "result", rows[0]["result"])
    chosen = next((one for one in there if one.id == id), None)
    if chosen is None:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    _to_curves(row, chosen.id)
    downloads.report(partial(found_page, chosen), f"curves-{chosen.id}", row)
    if not chosen.shipped:
        _delete(row, chosen.id, "this result and its records", partial(stored.remove, chosen.id), "result")


def finetune_section() -> None:
    """Runs of fine-tuning: those that ship and those of the visitor's own."""
    there = {run.folder.name: run for run in finetune_found.found()}
    rows = [
        {
            "finetuned": name,
            "what": visible_text(one_line(finetune_found.told(run), 160)),
            "done": len(run.models) / max(1, len(run.about.get("cells", []))),
            "made": "shipped" if finetune_found.shipped(run) else moment(finetune_found.made(run)),
        }
        for name, run in there.items()
    ]
    if not rows:
        _stale("finetuned", [])
        _empty("No run of fine-tuning yet.", "pages/generations.py", "Go to Generations")
        return
    name = _table(rows, "finetuned", next(iter(there)))
    chosen = there.get(name or "")
    if chosen is None:
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    _to_generations(row, chosen.folder.name)
    downloads.report(partial(finetune_page, chosen), f"finetune-{chosen.folder.name}", row)
    going = any(job.out == chosen.folder and not job.ended for job in jobs.jobs())
    if not finetune_found.shipped(chosen) and not going:
        what = "this run with its models and texts; votes and verdicts on them stay"
        _delete(row, chosen.folder.name, what, partial(finetune_found.remove, chosen.folder.name), "finetuned")


SECTIONS: dict[str, Callable[[], None]] = {
    "jobs": job_section,
    "selections": selection_section,
    "curves": curve_section,
    "generations": finetune_section,
}


def _stale(key: str, ids: Sequence[str]) -> str | None:
    """The id that the address asks for; named on the page where there is none or several such."""
    asked = st.query_params.get(key, "")
    matching = [id for id in ids if asked and id.startswith(asked)]
    if asked and len(matching) != 1:
        told = f"Several {key}s begin with" if matching else f"There is no {key}"
        sentence = f"{told} '{asked[:SHORT]}' here{'' if matching else ' (any more)'}."
        st.warning(components.escape_markdown(sentence), icon=":material/link_off:")
    return matching[0] if len(matching) == 1 else None


def _table(rows: Sequence[dict[str, Any]], key: str, usual: str) -> str | None:
    """The rows; the id of the chosen one, which the address carries too."""
    ids = [row[key] for row in rows]
    chosen = _stale(key, ids) or usual
    name = f"table-{key}-{len(ids)}"

    def picked() -> None:
        marked = st.session_state[name]["selection"]["rows"]
        if marked and marked[0] < len(ids):
            st.query_params[key] = ids[marked[0]]

    st.dataframe(
        pd.DataFrame(list(rows)).head(MOST_ROWS),
        hide_index=True,
        key=name,
        on_select=picked,
        selection_mode="single-row",
        placeholder="",
        height=min(320, 46 + 35 * len(rows)),
        alt=f"One row a {key}, the last first",
        column_config={
            "done": st.column_config.ProgressColumn("done", min_value=0, max_value=1, format="percent", width=90),
            "made": st.column_config.TextColumn("made", width=130),
            "since": st.column_config.DatetimeColumn("since", format="YYYY-MM-DD HH:mm", width=130),
            "what": st.column_config.TextColumn("what", width="large"),
            key: st.column_config.TextColumn(key, width=130),
        },
    )
    st.caption(f"{len(rows):,} in all. Click the box before a row to open it; below: {key} {components.escape_markdown(chosen)}.")
    return chosen


def _to_curves(row: Any, id: str) -> None:
    row.page_link("pages/curves.py", label="Open in Curves", icon=":material/show_chart:", query_params={"result": id})


def _to_generations(row: Any, name: str) -> None:
    row.page_link("pages/generations.py", label="Open in Generations", icon=":material/forum:", query_params={"run": name})


def _delete(row: Any, id: str, what: str, remove: Callable[[], None], key: str) -> None:
    """A button behind a second one."""
    if public():
        return
    with row.popover("Delete", icon=":material/delete:"):
        st.markdown(f"Delete {what}?")
        if st.button("Yes, delete", key=f"delete-{id}", type="primary"):
            try:
                remove()
            except FisherSFTError as error:
                components.problem(str(error))
                return
            st.query_params.pop(key, None)
            st.rerun()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return visible(one_line(value, 60)) if isinstance(value, str) else value


def _empty(sentence: str, page: str, label: str) -> None:
    st.info(sentence, icon=":material/inbox:")
    st.page_link(page, label=label, icon=":material/arrow_forward:")
