"""An explicit `--theme.base light|dark` wins over the system's preference.

Streamlit follows the system as soon as a theme has both variants, and then no longer looks at `theme.base`.  So the variant
that was asked for takes both places; the session that was open before the script's first run still follows the system.
"""

from __future__ import annotations

import streamlit as st
from streamlit import config

OPTIONS = ("primaryColor", "backgroundColor", "secondaryBackgroundColor", "textColor", "linkColor", "borderColor")


FORCED = "fishersft_forced_theme"


def honour_base() -> None:
    """Copy the variant named by `theme.base`, where one is, over the other."""
    base = config.get_option("theme.base")
    if base not in ("light", "dark"):
        return
    other = "dark" if base == "light" else "light"
    name = f"theme.{other}.backgroundColor"
    before = config.get_option(name) == config.get_option(f"theme.{base}.backgroundColor")
    st.session_state.setdefault(FORCED, base if before else None)
    for option in OPTIONS:
        config.set_option(f"theme.{other}.{option}", config.get_option(f"theme.{base}.{option}"))


def dark() -> bool:
    """Whether this visitor sees the dark variant."""
    return (st.session_state.get(FORCED) or st.context.theme.type) == "dark"
