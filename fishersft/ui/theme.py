"""An explicit `--theme.base light|dark` wins over the system's preference, for everyone.

Streamlit follows the system as soon as a theme has both variants, and then no longer looks at `theme.base`.  So the variant
that was asked for takes both places.  A browser is told the theme as a run begins, so the run that puts it there begins anew.
"""

from __future__ import annotations

import streamlit as st
from streamlit import config

OPTIONS = ("primaryColor", "backgroundColor", "secondaryBackgroundColor", "textColor", "linkColor", "borderColor")


def honour_base() -> None:
    """Copy the variant named by `theme.base`, where one is, over the other."""
    base = config.get_option("theme.base")
    if base not in ("light", "dark"):
        return
    other = "dark" if base == "light" else "light"
    wanted = {f"theme.{other}.{option}": config.get_option(f"theme.{base}.{option}") for option in OPTIONS}
    changed = {name: value for name, value in wanted.items() if config.get_option(name) != value}
    for name, value in changed.items():
        config.set_option(name, value)
    if changed:
        st.rerun()


def light_on_paper() -> None:
    """A dark page is printed dark on white: turned round as a whole, hues kept, since charts bring their own colours."""
    if dark():
        page = ".stApp { background: #000 !important; filter: invert(1) hue-rotate(180deg); }"
        st.html(f"<style>@media print {{ {page} body {{ background: #fff !important; }} }}</style>")


def dark() -> bool:
    """Whether this visitor sees the dark variant."""
    base = config.get_option("theme.base")
    return (base if base in ("light", "dark") else st.context.theme.type) == "dark"
