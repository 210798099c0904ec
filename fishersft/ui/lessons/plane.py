"""Points in the plane: dragged, weighted, added and removed on the picture, by pointer and keyboard, and in a table.

One small component (plane.html, .css, .js beside this file) draws them: it gets the whole state and sends back the points.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from fishersft.lessons import ellipse
from fishersft.lessons.lesson import Picture, Plane, several
from fishersft.ui.lessons.panels import Learning

ACTS = ("add", "move the nearest", "remove the nearest")
KEY = "plane"


def _part(kind: str) -> str:
    return (Path(__file__).parent / f"plane.{kind}").read_text(encoding="utf-8")


_plane = st.components.v2.component("fishersft_plane", html=_part("html"), css=_part("css"), js=_part("js"))


def picture(learning: Learning, shown: Picture) -> None:
    """The plane, and the choice of what a click on it does."""
    drawn = shown.figure
    assert isinstance(drawn, Plane)
    with st.container(key="plane-acts", horizontal=True, vertical_alignment="bottom"):
        act = st.segmented_control(
            "A click on the picture will",
            ACTS,
            default="add",
            required=True,
            key="plane-act",
            help="Add a point of weight 1, or weight to the point that is clicked; move the nearest point there; or remove it. "
            "Points can be dragged in any case.",
        )
        st.button("Start again", icon=":material/restart_alt:", on_click=lambda: learning.put_points(ellipse.START))
        st.button("Clear", icon=":material/delete:", on_click=lambda: learning.put_points(()), help="Remove every point.")
    st.markdown(f"**{shown.title}**")
    result: Any = _plane(
        key=KEY,
        data={**asdict(drawn), "act": act, "alt": shown.alt},
        on_points_change=lambda: learning.put_points(told(st.session_state[KEY]["points"])),
    )
    del result  # its state comes through the callback
    st.caption(shown.caption)


def told(points: Any) -> ellipse.Points:
    """The points that a browser sent, as far as they are points."""
    rows = [row for row in points if isinstance(row, list) and len(row) == 3] if isinstance(points, list) else []
    return clean(pd.DataFrame(rows, columns=["x", "y", "weight"]))[0]


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
                "weight",
                min_value=least,
                max_value=most,
                step=0.001,
                default=1.0,
                help="How often the row is seen.",
            ),
        },
    )
    points, left_out = clean(edited)
    learning.change(points=points)
    if left_out:
        why = f"a number is missing or outside ±{reach:g}, or there are more than {ellipse.MOST_POINTS} points"
        st.caption(f"{several(left_out, 'row')} left out: {why}.")


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
