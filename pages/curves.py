"""Curves: how fast each selector's error falls against a known truth, in the two worlds, in others, and on your corpus."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.curves import form as curve_form
from fishersft.ui.curves import panels as curves

with page.page(
    "curves",
    "What is a selection worth? Labels are drawn from a known head, a head is fitted on each selection, and the two are "
    "compared on every sentence of the pool.",
) as visitor:
    experiment = curves.choose_experiment(visitor)
    if experiment == curves.TWO_WORLDS:
        curves.two_worlds()
    else:
        kind = curves.KINDS[experiment]
        curve_form.watched(kind)
        found = curves.choose_result(kind)
        if found:
            curves.show(found)
        else:
            st.info("There is no result of this kind yet; run one below.", icon=":material/show_chart:")
        curve_form.run_panel(kind, visitor, empty=found is None)
