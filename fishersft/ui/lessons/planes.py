"""The plane whose points are dragged: the component that draws it (plane.html, .css, .js), its buttons, and the table of points.

The component gets the whole state of the plane and sends back the points.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pandas as pd
import streamlit as st

from fishersft.errors import ParameterError
from fishersft.lessons.lesson import LEAST_WEIGHT, MOST_POINTS, MOST_WEIGHT, Dragged, Picture, Plane, Points, several
from fishersft.ui import components, query_widgets
from fishersft.ui.lessons.learning import Learning

ACTS = ("add", "move the nearest", "remove the nearest")
FARTHEST = 1e9  # of what is looked at as a number at all
KEY = "plane"  # of the component, with the lesson's name
_PLANE: dict[str, Any] = {
    kind: Path(__file__).with_name(f"plane.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
}
_plane = st.components.v2.component("fishersft_plane", **_PLANE)


def draw(learning: Learning, picture: Picture, plane: Plane) -> None:
    """The plane, with what a click on it does; a click moves the one point of a lesson that has but one."""
    key, kind = f"{KEY}-{learning.name}", cast(Dragged, type(learning.lesson))
    act = ACTS[1] if plane.fixed else str(st.session_state.get("plane-act") or ACTS[0])

    def moved() -> None:
        points = told(st.session_state[key]["points"], kind.reach)
        try:
            learning.put_points((points[:1] or learning.points) if kind.alone else points)
        except ParameterError:  # a browser's mistake moves nothing
            return

    _plane(
        key=key, data={**asdict(plane), "act": act, "alt": picture.alt, "large": learning.manner.present}, on_points_change=moved
    )
    st.caption(picture.caption)
    if learning.manner.present:
        return
    with st.container(key="plane-acts", horizontal=True, vertical_alignment="bottom"):
        if not plane.fixed:
            help = (
                "Add a point of weight 1, or weight to the point that is clicked; move the nearest point there; or remove it. "
                "Points can be dragged in any case."
            )
            query_widgets.one_of("A click on the picture will", ACTS, ACTS[0], key="plane-act", help=help)
        st.button("Start again", icon=":material/restart_alt:", on_click=lambda: learning.put_points(kind.points))
        if not plane.fixed:
            st.button("Clear", icon=":material/delete:", on_click=lambda: learning.put_points(()), help="Remove every point.")


def told(points: Any, reach: float = Dragged.reach) -> Points:
    """The points that a browser sent, as far as they are points."""
    rows = [components.numbers_sent(row, -FARTHEST, FARTHEST) for row in points] if isinstance(points, list) else []
    rows = [row for row in rows if len(row) == 3]
    return clean(pd.DataFrame(rows, columns=["x", "y", "weight"]), reach)[0]


def table(learning: Learning) -> None:
    """The points as numbers; rows are added at the end and removed with the box before them."""
    if f"points-{learning.generation}" not in st.session_state and learning.base != learning.points:
        learning.put_points(learning.points)  # the table's own memory ends with a visit to another lesson
    reach, number = Dragged.reach, st.column_config.NumberColumn
    inside: dict[str, Any] = {"min_value": -reach, "max_value": reach, "required": True, "step": 0.001}
    weight: dict[str, Any] = {"min_value": LEAST_WEIGHT, "max_value": MOST_WEIGHT, "step": 0.001, "default": 1.0}
    weight["help"] = "How often the row is seen."
    edited = st.data_editor(
        pd.DataFrame(learning.base, columns=["x", "y", "weight"], dtype=float),
        num_rows="dynamic",
        hide_index=True,
        key=f"points-{learning.generation}",
        alt="The points: coordinates and weight",
        column_config={"x": number("x", **inside), "y": number("y", **inside), "weight": number("weight", **weight)},
    )
    points, left_out = clean(edited)
    learning.change(points=points)
    if left_out:
        why = f"a number is missing or outside ±{reach:g}, or there are more than {MOST_POINTS} points"
        st.caption(f"{several(left_out, 'row')} left out: {why}.")


def clean(rows: pd.DataFrame, reach: float = Dragged.reach) -> tuple[Points, int]:
    """The rows that are points, and how many are not."""
    numbers = rows[["x", "y", "weight"]].apply(pd.to_numeric, errors="coerce").round(3)
    inside = (numbers[["x", "y"]].abs() <= reach).all(axis=1)
    weighted = numbers["weight"].between(LEAST_WEIGHT, MOST_WEIGHT)
    kept = numbers[inside & weighted].head(MOST_POINTS)
    points = tuple((float(x), float(y), float(w)) for x, y, w in kept.itertuples(index=False))
    return points, len(numbers) - len(points)
