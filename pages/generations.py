"""Generations: fine-tune on each selection, measure, read the texts side by side, vote, and see who wins."""

import streamlit as st

from fishersft.ui import page
from fishersft.ui.generations import finetune_form, held_out, side_by_side, vote, win_rates
from fishersft.ui.generations import page_state as generations

with page.page("generations", "Does fine-tuning on a selection make a better model?") as visitor:
    row = st.container(horizontal=True, vertical_alignment="bottom", key="generation-controls")
    section = generations.choose_section(row)
    if section == generations.SET_UP:
        finetune_form.section(visitor)
    else:
        run = generations.choose_run(row)
        if run is None:
            generations.empty()
            finetune_form.section(visitor)
        elif section == generations.RESULTS:
            held_out.section(run, row)
        elif section == generations.READ:
            side_by_side.section(run, row, visitor)
        elif section == generations.VOTE:
            vote.section(run, row)
        else:
            win_rates.section(run, row, visitor)
