"""`python -m tests.attack.sessions`: many visitors of one hosted demo at once, a few of them real browsers.

Most speak the dashboard's own websocket: they open one page after another, with deep links as `tests.attack.links` draws them and
with a word of their own in the address.  Every browser has such a word too: two upload a file that is named after it and says it
in each text, two paste target texts with it, and two search for it and pin records; then they go from page to page by the
navigation.  Counted are errors on pages, pages on which another visitor's word stands, and the server's memory at half time and at
the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from fishersft.text import markdown_table
from tests.attack.links import link
from tests.browsing import CHROMIUM, FLAGS, IDLE, VIEW, serving

PATIENCE = 120.0  # seconds that a page may take
WORD = "besucher"
TITLES = ("Explore", "Corpus", "Compare", "Curves", "Generations", "Evidence", "Learn", "Runs")


async def _visit(address: str, visitor: int, until: float, seed: int, counts: Counter[str]) -> None:
    rng, own = random.Random(f"{seed} {visitor}"), f"{WORD}{visitor:04d}x"
    async with websockets.connect(f"{address.replace('http', 'ws')}/_stcore/stream", origin=address, max_size=None) as line:
        while time.monotonic() < until:
            page, asked = link(rng)
            ask = BackMsg()
            ask.rerun_script.page_name = "" if page == "explore" else page
            ask.rerun_script.query_string = urlencode({**asked, "selector": own}, errors="replace")
            await line.send(ask.SerializeToString())
            where, finished = f"/{ask.rerun_script.page_name}?{ask.rerun_script.query_string[:1000]}", False
            while not finished:
                try:
                    data = await asyncio.wait_for(line.recv(), PATIENCE)
                except TimeoutError:
                    counts["pages that hung"] += 1
                    click.echo(f"nothing came for {PATIENCE:.0f} s on {where}", err=True)
                    break
                assert isinstance(data, bytes)
                said = ForwardMsg.FromString(data)
                if said.HasField("delta") and said.delta.new_element.HasField("exception"):
                    counts["errors"] += 1
                    click.echo(f"error on {where}", err=True)
                counts["words of others"] += WORD.encode() in data.replace(own.encode(), b"")
                counts["own words"] += own.encode() in data
                finished = said.WhichOneof("type") == "script_finished"
            counts["pages"] += finished
            await asyncio.sleep(rng.uniform(0.5, 2.0))


async def _browse(browser: Any, address: str, visitor: int, until: float, seed: int, folder: Path, counts: Counter[str]) -> None:
    rng, own, turns = random.Random(f"{seed} {visitor}"), f"{WORD}{visitor:04d}x", itertools.count()
    tab = await (await browser.new_context(viewport=VIEW)).new_page()
    tab.set_default_timeout(1000 * PATIENCE)

    def wrong(what: object) -> None:
        counts["errors"] += 1
        click.echo(f"error in a browser at {tab.url[:1000]}: {str(what)[:1000]}", err=True)

    tab.on("pageerror", wrong)

    async def look() -> None:
        await tab.wait_for_function(IDLE, arg=[next(turns), 750], polling=50)
        said = await tab.inner_text("body")
        for one in await tab.locator('[data-testid="stException"]').all_inner_texts():
            wrong(one)
        counts["words of others"] += WORD in said.replace(own, "")
        counts["own words"] += own in said
        counts["pages"] += 1

    await BEGINNINGS[visitor % len(BEGINNINGS)](tab, address, own, folder)
    await look()
    while time.monotonic() < until:
        await tab.get_by_role("link", name=rng.choice(TITLES), exact=True).first.click()
        await look()
        await asyncio.sleep(rng.uniform(0.5, 2.0))
    counts["browsers"] += 1


async def _upload(tab: Any, address: str, own: str, folder: Path) -> None:
    file = folder / f"{own}.jsonl"
    file.write_text("".join(json.dumps({"text": f"{own} saw number {k} of the {k % 7} hills."}) + "\n" for k in range(60)))
    await tab.goto(f"{address}/corpus")
    await tab.get_by_text("Upload", exact=True).click()
    await tab.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(file)
    await tab.wait_for_selector(f".st-key-verdict:has-text('{own}')")


async def _paste(tab: Any, address: str, own: str, folder: Path) -> None:
    await tab.goto(address)
    await tab.get_by_role("button", name="Target: none").click()
    await tab.get_by_text("pasted texts", exact=True).click()
    await tab.get_by_role("textbox", name="Target texts, one a line").fill(
        "\n".join(f"{own} asked the judge about case {k}." for k in range(12))
    )
    await tab.get_by_role("button", name="Choose for them").click()
    await tab.get_by_role("button", name="Drop").wait_for()


async def _search(tab: Any, address: str, own: str, folder: Path) -> None:
    await tab.goto(f"{address}/?pin=12,40")
    await tab.get_by_label("Search", exact=True).fill(own)
    await tab.get_by_label("Search", exact=True).press("Enter")


BEGINNINGS = (_upload, _paste, _search)


def _server(address: str) -> psutil.Process:
    port = int(address.rpartition(":")[2])
    return next(p for p in psutil.Process().children(recursive=True) if f"{port}" in p.cmdline())


async def _all(address: str, sessions: int, browsers: int, seconds: float, seed: int, folder: Path) -> Counter[str]:
    from playwright.async_api import async_playwright

    counts: Counter[str] = Counter()
    until = time.monotonic() + seconds
    visits = [asyncio.create_task(_visit(address, k, until, seed, counts)) for k in range(browsers, sessions)]
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        visits += [asyncio.create_task(_browse(browser, address, k, until, seed, folder, counts)) for k in range(browsers)]
        await _count(address, visits, seconds, counts)
    return counts


async def _count(address: str, visits: list[asyncio.Task[None]], seconds: float, counts: Counter[str]) -> None:
    await asyncio.sleep(seconds / 2)
    counts["MB at half time"] = round(_server(address).memory_info().rss / 1e6)
    for done in await asyncio.gather(*visits, return_exceptions=True):
        if isinstance(done, BaseException):
            click.echo(repr(done)[:300], err=True)
            counts["lost sessions"] += 1
    counts["MB at the end"] = round(_server(address).memory_info().rss / 1e6)


FAULTS = ("errors", "words of others", "pages that hung", "lost sessions")


@click.command()
@click.option("--sessions", type=click.IntRange(1), default=50, show_default=True, help="Visitors at once.")
@click.option("--browsers", type=click.IntRange(0), default=6, show_default=True, help="How many of them are real browsers.")
@click.option("--seconds", type=float, default=300.0, show_default=True, help="For how long they open pages.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the pages.")
def main(sessions: int, browsers: int, seconds: float, seed: int) -> None:
    """Let many visitors open pages of a hosted demo; exits with 1 where there was a fault."""
    if browsers and CHROMIUM is None:
        raise click.UsageError("There is no Chromium on this machine; install it, set CHROMIUM to its path, or add --browsers 0.")
    with (
        tempfile.TemporaryDirectory(prefix="sessions-") as folder,
        serving(Path(folder) / "home", FISHERSFT_PUBLIC="1") as address,
    ):
        counts = asyncio.run(_all(address, sessions, min(browsers, sessions), seconds, seed, Path(folder)))
    columns = ("browsers", "pages", "own words", *FAULTS, "MB at half time", "MB at the end")
    row = [str(sessions), *(f"{counts[c]:,}" for c in columns)]
    click.echo(markdown_table(["sessions", *columns], [row], "---:"))
    if any(counts[c] for c in FAULTS) or not counts["pages"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
