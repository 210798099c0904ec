"""Curves: how fast each selector's error falls against a known truth, in the two worlds, in others, and on your corpus."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.curves import form, panels

with page.page("curves", "How far from the truth is a head that was fitted on a selection?") as visitor:
    row = st.container(horizontal=True, vertical_alignment="bottom", key="curve-controls")
    experiment = form.choose_experiment(row)
    if experiment == form.TWO_WORLDS:
        panels.two_worlds(row)
    else:
        kind = form.KINDS[experiment]
        form.watched(kind)
        found = form.choose_result(kind, row)
        if found:
            panels.show(found, row, lambda: form.run_panel(kind, visitor))
        else:
            st.info("There is no result of this kind yet; run one below.", icon=":material/show_chart:")
            form.run_panel(kind, visitor)
