"""What the server does once or for every page: it starts, loads heavy libraries early, freezes them, and honours the theme."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from threading import Thread
from typing import Any

import pandas  # noqa: F401, a missing extra is told before the server starts
import plotly.graph_objects  # noqa: F401
import streamlit as st
from streamlit import config
from streamlit.web import cli

from fishersft import paths
from fishersft.lm.chat_server import LOOPBACK
from fishersft.ui.session import public
from fishersft.ui.uploads import MOST_PUBLIC_MB

FIRST_PAGE = ("torch", "scipy.interpolate", "fishersft.plots.base", "fishersft.ui.cached")  # what Explore needs
MANY = 200  # modules imported since the last time, after which it is worth freezing again
COLOURS = ("primaryColor", "backgroundColor", "secondaryBackgroundColor", "textColor", "linkColor", "borderColor")
_seen = 0


def launch(options: tuple[str, ...], hosts: tuple[str, ...] = ()) -> None:
    """Run app.py under Streamlit in this process, with Streamlit's own options; returns when the server stops.

    `hosts` are names under which browsers may reach it, besides those of this machine alone (.streamlit/config.toml): a page that
    points its own name at this machine (DNS rebinding) is refused.
    """
    limit = [f"--server.maxUploadSize={MOST_PUBLIC_MB}"] if public() else []  # of every upload, before it is in memory
    allowed = [f"--server.allowedHosts={name}" for name in (*LOOPBACK, *hosts)] if hosts else []
    sys.argv = ["streamlit", "run", str(paths.root() / "app.py"), *allowed, *limit, *options]
    cli.main()


@asynccontextmanager
async def ahead(app: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load what the first page needs as soon as the server runs, while the browser still loads its own part."""
    Thread(target=lambda: [import_module(name) for name in FIRST_PAGE], name="fishersft-preload", daemon=True).start()
    yield {}


def freeze_imports() -> None:
    """Freeze what imports have left in memory (`gc.freeze`), so that collections skip it.

    Streamlit collects garbage after every run of a page and holds the interpreter meanwhile, for as long as there are objects;
    the hundreds of thousands that torch, plotly and others create are never garbage.
    """
    global _seen
    if len(sys.modules) - _seen >= MANY:
        _seen = len(sys.modules)
        gc.collect()
        gc.freeze()


def honour_theme() -> None:
    """Let an explicit `--theme.base light|dark` win over the system's preference, for everyone.

    As soon as a theme has both variants, Streamlit follows the system and no longer looks at `theme.base`, so the variant that
    was asked for takes both places.  A browser is told the theme when a run begins, so the run that sets it starts over.
    """
    base = config.get_option("theme.base")
    if base not in ("light", "dark"):
        return
    other = "dark" if base == "light" else "light"
    wanted = {f"theme.{other}.{colour}": config.get_option(f"theme.{base}.{colour}") for colour in COLOURS}
    changed = {name: value for name, value in wanted.items() if config.get_option(name) != value}
    for name, value in changed.items():
        config.set_option(name, value)
    if changed:
        st.rerun()
