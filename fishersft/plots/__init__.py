"""Figures.  They need plotly, which the extra `app` brings; without it, one sentence says so."""

from fishersft.errors import MissingExtra

try:
    import plotly.graph_objects as go
except ImportError as error:
    raise MissingExtra("Drawing figures", "app") from error

__all__ = ["go"]
