"""Points in the plane: by a click on the picture, and by a table that the keyboard reaches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from fishersft.lessons import ellipse
from fishersft.lessons.lesson import Picture, several
from fishersft.ui.lessons.panels import Learning

ACTS = {"add": ellipse.added, "move the nearest": ellipse.moved, "remove the nearest": ellipse.removed}


def clicks(learning: Learning, shown: Picture) -> None:
    """The picture; a click adds, moves or removes a point."""
    with st.container(key="plane-acts", horizontal=True, vertical_alignment="bottom"):
        act = st.segmented_control(
            "A click on the picture will",
            list(ACTS),
            default="add",
            required=True,
            key="plane-act",
            help="Add a point of weight 1 (or weight to a point that is there), move the nearest point there, or remove it.",
        )
        st.button("Start again", icon=":material/restart_alt:", on_click=lambda: learning.put_points(ellipse.START))
        st.button("Clear", icon=":material/delete:", on_click=lambda: learning.put_points(()), help="Remove every point.")
    key = f"plane-{learning.generation}"

    def clicked() -> None:
        places = [int(np.ravel(p["customdata"])[0]) for p in st.session_state[key]["selection"]["points"] if "customdata" in p]
        if places:
            x, y = ellipse.clickable()[places[0]]
            learning.put_points(ACTS[str(act)](points_of(learning), float(x), float(y)))

    st.markdown(f"**{shown.title}**")
    st.plotly_chart(
        shown.figure,
        theme=None,
        key=key,
        on_select=clicked,
        selection_mode="points",
        config={"displayModeBar": False},
        alt=shown.alt,
    )
    st.caption(shown.caption)


def table(learning: Learning) -> None:
    """The points as numbers; rows are added at the end and removed with the box before them."""
    if f"points-{learning.generation}" not in st.session_state and learning.base != points_of(learning):
        learning.put_points(points_of(learning))  # the table's own memory ends with a visit to another lesson
    before = pd.DataFrame(learning.base, columns=["x", "y", "weight"], dtype=float)
    reach, least, most = ellipse.REACH, ellipse.LEAST_WEIGHT, ellipse.MOST_WEIGHT
    edited = st.data_editor(
        before,
        num_rows="dynamic",
        hide_index=True,
        key=f"points-{learning.generation}",
        alt="The points: coordinates and weight",
        column_config={
            "x": st.column_config.NumberColumn("x", min_value=-reach, max_value=reach, step=0.001, required=True),
            "y": st.column_config.NumberColumn("y", min_value=-reach, max_value=reach, step=0.001, required=True),
            "weight": st.column_config.NumberColumn(
                "weight", min_value=least, max_value=most, step=0.001, default=1.0, help="As if the row were seen so often."
            ),
        },
    )
    points, left_out = clean(edited)
    learning.change(points=points)
    if left_out:
        what = several(left_out, "row")
        st.caption(f"{what} not drawn: numbers missing, outside ±{reach:g}, or more than {ellipse.MOST_POINTS} points.")


def clean(table: pd.DataFrame) -> tuple[ellipse.Points, int]:
    """The rows that are points, and how many are not."""
    numbers = table[["x", "y", "weight"]].apply(pd.to_numeric, errors="coerce").round(3)
    fits = (numbers[["x", "y"]].abs() <= ellipse.REACH).all(axis=1) & numbers["weight"].between(
        ellipse.LEAST_WEIGHT, ellipse.MOST_WEIGHT
    )
    kept = numbers[fits].head(ellipse.MOST_POINTS)
    points = tuple((float(x), float(y), float(w)) for x, y, w in kept.itertuples(index=False))
    return points, len(numbers) - len(points)


def points_of(learning: Learning) -> ellipse.Points:
    """The points of the first lesson, as they are now."""
    lesson = learning.states["ellipse"]
    assert isinstance(lesson, ellipse.Ellipse)
    return lesson.points
