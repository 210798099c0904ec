"""Compare: two to four selectors side by side, each beside chance, before anything is fine-tuned."""

import streamlit as st

from fishersft.ui import page, targets
from fishersft.ui.compare import linked_maps, panels, scores
from fishersft.ui.compare import view as compare_view
from fishersft.ui.explore import sets

with page.page("compare", "Which rule should choose your fine-tuning data?") as visitor:
    targets.take_over()
    embedded = page.embedded(visitor)
    sets.reopen(embedded, visitor)
    view = compare_view.controls(embedded, visitor)
    if view is None:
        st.info("Choose at least two selectors whose picks have been computed.", icon=":material/compare_arrows:")
    else:
        answer = st.container(key="answer")  # filled when the picks are scored; the maps need not wait for that
        linked_maps.panel(view, visitor)
        below, part = st.container(), panels.choose_part(view)
        with answer:
            found = scores.compared(view)
            if found is not None:
                panels.answer(view, found)
        if found is not None:
            with below:
                scores.exactly(view, found)
        panels.show(part, view, found, visitor)
