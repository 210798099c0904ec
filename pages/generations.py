"""Generations: fine-tune on each selection, measure, read the texts side by side, vote, and see who wins."""

from fishersft.ui import page
from fishersft.ui.generations import finetune_form, held_out, side_by_side, vote, win_rates
from fishersft.ui.generations import page_state as generations

with page.page("generations", "Does fine-tuning on a selection make a better model?") as visitor:
    section = generations.choose_section()
    if section == generations.SET_UP:
        finetune_form.section(visitor)
    else:
        run = generations.choose_run()
        if run is None:
            generations.empty()
            finetune_form.section(visitor)
        else:
            if section == generations.RESULTS:
                held_out.verdict(run)
            generations.headline(run)
            if section == generations.RESULTS:
                held_out.section(run)
            elif section == generations.READ:
                side_by_side.section(run, visitor)
            elif section == generations.VOTE:
                vote.section(run)
            else:
                win_rates.section(run, visitor)
