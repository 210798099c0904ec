"""Compare: two to four selectors side by side, each beside chance, before anything is fine-tuned."""

import streamlit as st

from fishersft.ui import page, targets
from fishersft.ui.compare import numbers
from fishersft.ui.compare import panels as compare
from fishersft.ui.compare import view as compare_view
from fishersft.ui.explore import sets

with page.page("compare", "Which rule should choose your fine-tuning data?") as visitor:
    targets.take_over()
    embedded = page.embedded(visitor)
    sets.reopen(embedded, visitor)
    pool = embedded.pool
    targets.control(embedded.whole, pool, visitor, lasso=False)
    asked, equal, seed = compare_view.control_bar(visitor)
    ready = compare_view.computed(pool, asked, seed)
    if len(ready) >= compare_view.LEAST:
        n = compare_view.budget_slider(pool, ready, seed)
        found = compare_view.compared(pool, ready, n, equal, seed)
        view = compare_view.CompareView(visitor.choice, embedded.corpus, embedded.whole, pool, ready, seed, equal, n, found)

        compare.contents()
        compare.maps_panel(view, visitor)
        left, right = st.columns([3, 2], gap="large")
        with left:
            compare.words_panel(view)
        with right:
            compare.overlap_panel(view)
        numbers.criteria_panel(view)
        numbers.gain_panel(view)
        numbers.spreads_panel(view)
        compare.records_panel(view, visitor)
        numbers.transfer_panel(view, visitor)
        compare.downloads(view, visitor.score_model)
    else:
        st.info("Choose at least two selectors whose picks have been computed.", icon=":material/compare_arrows:")
    numbers.advice_panel()
