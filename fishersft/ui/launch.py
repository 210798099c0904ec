"""Start the dashboard's server in this process."""

from __future__ import annotations

import sys

from fishersft import paths
from fishersft.errors import MissingExtra
from fishersft.ui import preload


def launch(options: tuple[str, ...]) -> None:
    """Run app.py under Streamlit, with Streamlit's own options; returns when the server stops.

    Raises:
        MissingExtra: Streamlit or plotly is not installed.
    """
    try:
        import pandas  # noqa: F401
        import plotly.graph_objects  # noqa: F401
        import streamlit.web.cli as streamlit
    except ImportError as error:
        raise MissingExtra("The dashboard", "app") from error
    preload.begin()
    sys.argv = ["streamlit", "run", str(paths.root() / "app.py"), *options]
    streamlit.main()
