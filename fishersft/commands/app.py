"""`fishersft app` opens the dashboard."""

from __future__ import annotations

import click

from fishersft.errors import MissingExtra


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name, besides localhost, under which browsers may reach the dashboard; repeatable. Any other is refused.",
)
@click.argument("streamlit_options", nargs=-1, type=click.UNPROCESSED)
def app(hosts: tuple[str, ...], streamlit_options: tuple[str, ...]) -> None:
    """Open the dashboard in the browser.

    Streamlit's own options are passed on, for example --server.port 8600; so are STREAMLIT_* variables. To serve it under a
    name: --server.address 0.0.0.0 --allow-host lab.example.org. It has no login: put it behind a proxy that asks for one.
    """
    try:
        from fishersft.ui import server
    except ImportError as error:
        raise MissingExtra("The dashboard", "app") from error
    server.launch(streamlit_options, hosts)
