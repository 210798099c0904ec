"""A real browser and a real server, and what the tests that need them do on a page."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
BROWSER = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (install chromium, or set CHROMIUM to its path)"),
]
# Without a GPU pages are painted by the processor at once, which takes it a third less than a GPU that it plays; WebGL still draws.
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-quic",
         "--no-first-run", "--disable-component-update", "--disable-sync"]  # fmt: skip
VIEW = {"width": 1440, "height": 1100}
PATIENCE = 150_000  # milliseconds that a page may take on a machine that does much else
IDLE = """
([turn, quiet]) => {
  const app = document.querySelector('[data-testid="stApp"]'), now = performance.now();
  const busy = app?.dataset.testScriptState !== "notRunning"
    || document.querySelector('[data-testid="stStatusWidget"], [data-testid="stSkeleton"]');
  if (busy || window.settling?.turn !== turn) window.settling = { turn, since: now };
  return now - window.settling.since > quiet;
}
"""
_turns = itertools.count()


@contextlib.contextmanager
def serving(home: Path, *options: str, command: tuple[str, ...] = (), folder: Path = ROOT, **environment: str) -> Iterator[str]:
    """The address of a dashboard with its store at `home`, from when it answers until the block ends."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    words = [*(command or ("-m", "fishersft", "app")), *options, "--server.headless", "true", "--server.port", str(port)]
    server = subprocess.Popen(
        [sys.executable, *words], env={**os.environ, "FISHERSFT_HOME": str(home), **environment}, cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE / 1000
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
                break
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.25)
        yield address
    finally:
        server.terminate()
        server.wait()


def new_tab(browser: Any, **look: Any) -> Any:
    """A tab in a context of its own, with the patience of a loaded machine."""
    tab = browser.new_page(**{"viewport": VIEW, **look})
    tab.set_default_timeout(PATIENCE)
    return tab


def settle(page: Any, quiet: int = 750) -> None:
    """Wait until the script has been idle for `quiet` milliseconds."""
    page.wait_for_function(IDLE, arg=[next(_turns), quiet], polling=50)


CHART = ".js-plotly-plot .points path, .js-plotly-plot .scatterlayer"  # a chart that is drawn


def opened(page: Any, address: str) -> Any:
    """The page at an address, when its first chart is drawn and nothing runs any more."""
    page.goto(address)
    page.wait_for_selector(CHART, state="attached")
    settle(page)
    return page


MAP = ".sentences .map"  # the canvas of Explore's map


def points_of(page: Any) -> dict[str, Any]:
    """The points of Explore's map, as the browser holds them."""
    points: dict[str, Any] = page.evaluate("[...globalThis.fishersftPoints.values()].at(-1)")
    return points


def where(page: Any, record: int) -> tuple[float, float]:
    """The pixel of a record's point on Explore's map, which is not zoomed."""
    points, box, gap = points_of(page), page.locator(MAP).bounding_box(), 16
    i = points["record"].index(record)
    x = gap + points["x"][i] / points["fine"] * (box["width"] - 2 * gap)
    y = gap + (1 - points["y"][i] / points["fine"]) * (box["height"] - 2 * gap)
    return box["x"] + x, box["y"] + y


def lonely(page: Any) -> int:
    """The record whose point is farthest from every other."""
    points = points_of(page)
    at = np.array([points["x"], points["y"]]).T.astype(float)
    far = ((at[:, None] - at[None]) ** 2).sum(-1)
    np.fill_diagonal(far, np.inf)
    return int(points["record"][int(far.min(1).argmax())])


def circle(page: Any) -> None:
    """A lasso over the middle of Explore's map."""
    page.get_by_role("button", name="Lasso: draw around a set").click()
    _draw(page, page.locator(MAP).bounding_box())


def draw_lasso(page: Any, k: int) -> None:
    """A lasso over the middle of the k-th chart of the page."""
    chart = page.locator(".js-plotly-plot").nth(k)
    chart.hover()
    chart.locator('.modebar-btn[data-title="Lasso Select"]').click()
    _draw(page, chart.locator(".plot-container .nsewdrag").first.bounding_box())


def _draw(page: Any, box: dict[str, float]) -> None:
    left, top, w, h = box["x"], box["y"], box["width"], box["height"]
    corners = [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.31)]
    page.mouse.move(left + corners[0][0] * w, top + corners[0][1] * h)
    page.mouse.down()
    for x, y in corners[1:]:
        page.mouse.move(left + x * w, top + y * h, steps=8)
    page.mouse.up()


def lit(page: Any, k: int) -> list[int]:
    """The records that the k-th map draws at full strength."""
    return (
        page.locator(".js-plotly-plot")
        .nth(k)
        .evaluate("g => Array.from(g._fullData[0].customdata).filter((_, i) => g._fullData[0].marker.opacity[i] === 1).sort()")
    )


def downloaded(page: Any, form: str) -> Any:
    """The file that the menu of Explore gives in this form."""
    box = page.get_by_role("combobox", name="Download as")
    box.click()
    box.fill(form)  # a list that is typed into is drawn anew with each key: the first match is taken by Enter
    box.press("Enter")
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=False).last.click()
    return download.value
