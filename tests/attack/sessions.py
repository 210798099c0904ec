"""`python -m tests.attack.sessions`: many visitors of one hosted demo at once, over its own websocket.

Every visitor opens one page after another, with deep links as `tests.attack.links` draws them and with a word of their own in
the address.  Counted are errors on pages, pages on which another visitor's word stands, and the server's memory at half time and
at the end.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import click
import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from fishersft.text import markdown_table
from tests.attack.links import link
from tests.browsing import serving

PATIENCE = 120.0  # seconds that a page may take
WORD = "besucher"


async def _visit(address: str, visitor: int, until: float, seed: int, counts: Counter[str]) -> None:
    rng, own = random.Random(f"{seed} {visitor}"), f"{WORD}{visitor:04d}x"
    async with websockets.connect(f"{address.replace('http', 'ws')}/_stcore/stream", origin=address, max_size=None) as line:
        while time.monotonic() < until:
            page, asked = link(rng)
            ask = BackMsg()
            ask.rerun_script.page_name = "" if page == "explore" else page
            ask.rerun_script.query_string = urlencode({**asked, "selector": own}, errors="replace")
            await line.send(ask.SerializeToString())
            finished = False
            while not finished:
                try:
                    data = await asyncio.wait_for(line.recv(), PATIENCE)
                except TimeoutError:
                    counts["pages that hung"] += 1
                    break
                assert isinstance(data, bytes)
                said = ForwardMsg.FromString(data)
                counts["errors"] += said.HasField("delta") and said.delta.new_element.HasField("exception")
                counts["words of others"] += WORD.encode() in data.replace(own.encode(), b"")
                counts["own words"] += own.encode() in data
                finished = said.WhichOneof("type") == "script_finished"
            counts["pages"] += finished
            await asyncio.sleep(rng.uniform(0.5, 2.0))


def _server(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2])
    return next(p for p in psutil.Process().children(recursive=True) if f"{port}" in p.cmdline())


async def _all(address: str, sessions: int, seconds: float, seed: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    until = time.monotonic() + seconds
    visits = [asyncio.create_task(_visit(address, k, until, seed, counts)) for k in range(sessions)]
    await asyncio.sleep(seconds / 2)
    counts["MB at half time"] = round(_server(address).memory_info().rss / 1e6)
    for done in await asyncio.gather(*visits, return_exceptions=True):
        if isinstance(done, BaseException):
            click.echo(repr(done)[:300], err=True)
            counts["lost sessions"] += 1
    counts["MB at the end"] = round(_server(address).memory_info().rss / 1e6)
    return counts


FAULTS = ("errors", "words of others", "pages that hung", "lost sessions")


@click.command()
@click.option("--sessions", type=click.IntRange(1), default=50, show_default=True, help="Visitors at once.")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="For how long they open pages.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the pages.")
def main(sessions: int, seconds: float, seed: int) -> None:
    """Let many visitors open pages of a hosted demo; exits with 1 where there was a fault."""
    with tempfile.TemporaryDirectory(prefix="sessions-") as home, serving(Path(home), FISHERSFT_PUBLIC="1") as address:
        counts = asyncio.run(_all(address, sessions, seconds, seed))
    columns = ("pages", "own words", *FAULTS, "MB at half time", "MB at the end")
    row = [str(sessions), *(f"{counts[c]:,}" for c in columns)]
    click.echo(markdown_table(["sessions", *columns], [row], "---:"))
    if any(counts[c] for c in FAULTS) or not counts["pages"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
