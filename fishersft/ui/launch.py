"""Start the dashboard's server in this process."""

from __future__ import annotations

import sys

from fishersft import bundle
from fishersft.errors import MissingExtra


def launch(options: tuple[str, ...]) -> None:
    """Run app.py under Streamlit, with Streamlit's own options; returns when the server stops.

    Raises:
        MissingExtra: Streamlit or plotly is not installed.
    """
    try:
        # the heavy parts are imported now, while the server starts, and not while the first visitor waits
        import pandas  # noqa: F401
        import plotly.graph_objects  # noqa: F401
        import streamlit.web.cli as streamlit

        import fishersft.plots
        import fishersft.runs.pipeline  # noqa: F401
    except ImportError as error:
        raise MissingExtra("The dashboard", "app") from error
    sys.argv = ["streamlit", "run", str(bundle.root() / "app.py"), *options]
    streamlit.main()
