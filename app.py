"""The dashboard: page set-up and navigation.  `fishersft app` runs this file.

Streamlit's server loads it once, for `app`; then it runs for every visitor, as `__main__`.
"""

import streamlit as st

from fishersft import paths
from fishersft.ui import components, guard, server


def explore() -> None:
    """Streamlit knows the first page by no path; /explore leads there too."""
    st.switch_page(pages[0], query_params={key: st.query_params.get_all(key) for key in st.query_params})


if __name__ == "__main__":
    server.honour_theme()
    st.set_page_config(page_icon=str(paths.asset("logo.svg")), layout="wide")
    st.html(paths.asset("style.css"))
    components.print_on_white()
    st.logo(str(paths.asset("logo.svg")), size="large")
    pages = [
        st.Page("pages/explore.py", title="Explore", icon=":material/scatter_plot:", url_path="start", default=True),
        st.Page("pages/corpus.py", title="Corpus", icon=":material/description:", url_path="corpus"),
        st.Page("pages/compare.py", title="Compare", icon=":material/balance:", url_path="compare"),
        st.Page("pages/curves.py", title="Curves", icon=":material/show_chart:", url_path="curves"),
        st.Page("pages/generations.py", title="Generations", icon=":material/edit_note:", url_path="generations"),
        st.Page("pages/evidence.py", title="Evidence", icon=":material/leaderboard:", url_path="evidence"),
        st.Page("pages/learn.py", title="Learn", icon=":material/school:", url_path="learn"),
        st.Page("pages/runs.py", title="Runs", icon=":material/list:", url_path="runs"),
    ]
    by_path = st.Page(explore, url_path="explore", visibility="hidden")
    shown = st.navigation([*pages, by_path], position="top")
    st.set_page_config(page_title=f"{shown.title} · fishersft")
    shown.run()
    server.freeze_imports()
else:
    app = st.App(__file__, middleware=guard.middleware(), lifespan=server.ahead)
