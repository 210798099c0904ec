"""The presenter's view: larger type, no chrome, and one key a step.

The steps of a lesson are its sentences, one by one, then the question, then the answer; after the last comes the next lesson of
the path.  The keys (keys.js) press the buttons below the picture, which do the same for fingers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from fishersft.lessons import LESSONS, PATHS
from fishersft.ui.lessons import panels
from fishersft.ui.lessons.learning import Learning

_keys = st.components.v2.component("fishersft_keys", js=Path(__file__).with_name("keys.js").read_text(encoding="utf-8"))
LOOK = """<style>
header, .stAppHeader, [data-testid="stSidebar"] { display: none !important; }
.stMainBlockContainer { padding: 1.25rem 2rem 1rem; max-width: none; }
.stApp h2 { font-size: 2rem; }
.st-key-present-words p { font-size: 1.75rem; line-height: 1.45; }
.st-key-present-words .st-key-lesson-question :is(p, label) { font-size: 1.35rem; }
.st-key-lesson-pictures strong { font-size: 1.25rem; }
.st-key-lesson-pictures [data-testid="stCaptionContainer"] { display: none; }
</style>"""


def show(learning: Learning) -> None:
    """The open lesson at its step; the answer is shown exactly at the last one."""
    learning.manner.step = step = min(learning.manner.step, learning.steps - 1)
    last = learning.steps - 1
    if step == last and not learning.revealed:
        learning.reveal()
    elif step < last and learning.revealed:
        learning.ask_again()
    st.html(LOOK)
    st.header(learning.lesson.title, anchor=False)
    left, right = st.columns([7, 4], gap="large")
    with left:
        shown = panels.pictures(learning)
        panels.controls(learning)
    with right, st.container(key="present-words"):
        if step < last - 1:
            st.markdown(learning.lesson.lines[step])
        else:
            panels.question(learning, shown.question)
    _bar(learning)


def _bar(learning: Learning) -> None:
    def leave() -> None:
        learning.manner.present, learning.manner.step = False, 0

    names = learning.order
    at, step, last = names.index(learning.name) if learning.name in names else 0, learning.manner.step, learning.steps - 1
    minutes = PATHS.get(learning.manner.path, {}).get(learning.name)
    where = f"{LESSONS[learning.name].tab}, step {step + 1} of {learning.steps}; lesson {at + 1} of {len(names)}"
    with st.container(horizontal=True, vertical_alignment="center", key="present-bar"):
        begins, ends = at == 0 and step == 0, at == len(names) - 1 and step == last
        st.button("Back", icon=":material/arrow_back:", key="present-back", on_click=learning.move, args=(-1,), disabled=begins)
        st.button("Next", icon=":material/arrow_forward:", key="present-next", on_click=learning.move, args=(1,), disabled=ends)
        look: dict[str, Any] = {"icon": ":material/visibility:", "key": "present-reveal", "disabled": step == last}
        st.button("Reveal", on_click=learning.reveal, **look)
        st.button("Leave", icon=":material/close_fullscreen:", key="present-leave", on_click=leave)
        st.caption(where + (f"; {minutes} minutes" if minutes else "") + ". Keys: arrows, Enter or R, Escape.", width="content")
    _keys(key="present-keys")
