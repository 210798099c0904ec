"""A first visitor's three steps, in one line above the page: it blocks nothing, and goes when it is put away.

The session remembers that, and so does a cookie of the visitor's browser, which says nothing but that.
"""

from __future__ import annotations

import streamlit as st

from fishersft.ui import components
from fishersft.ui.session import Session

COOKIE = "fishersft_guide"
_REMEMBER = f"<script>document.cookie = '{COOKIE}=read; max-age=31536000; path=/; samesite=lax'</script>"


def show(session: Session) -> None:
    """The steps, until they are put away or a sentence is looked at."""
    if session.guide == "put away":
        session.guide = "read"
        st.html(_REMEMBER, unsafe_allow_javascript=True)
    if session.record is not None:
        session.guide = session.guide or "read"  # who looks at a sentence has found the way
    if session.guide or st.context.cookies.get(COOKIE) == "read":
        return
    last = "tap a point, or press play" if components.touch() else "click a point to see why"
    with st.container(key="guide", horizontal=True, vertical_alignment="center"):
        st.caption(
            f":material/waving_hand: New here? **1.** Choose a selector. **2.** Move the budget. **3.** {last.capitalize()}."
        )
        st.button(
            "Got it", key="guide-read", type="tertiary", on_click=_put_away, args=(session,), help="Do not show this again."
        )


def _put_away(session: Session) -> None:
    session.guide = "put away"
