"""The dashboard as a visitor meets it: a server of its own, a real Chromium, and the clock of the browser's own network.

A move is timed from the message that leaves the browser to the last one that comes back, by the browser's clock: what the server
takes, and the way there and back on this machine.  Drawing is not in it.  Knows no page of ours but by what is on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fishersft.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # many tabs at once: those behind others are not slowed down
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START = 60.0  # seconds that a server may take to answer
QUIET = 6  # looks, 0.1 s apart, without another message after which a run is over
PATIENCE = 300.0  # seconds that one thing on a page may take
IDLE_SHARE = 0.05  # of a second of processor time that a server takes which does nothing
LONGEST = 1_800.0  # seconds that preparing a page may take
BUSY = '[data-testid="stStatusWidget"], [data-testid="stSkeleton"]'
ONE_DOT = """import plotly.graph_objects as go
import streamlit as st

st.plotly_chart(go.Figure(go.Scatter(x=[0], y=[0], mode="markers")))
"""
CHART = ".sentences .now:has-text('Pick'), .js-plotly-plot .scatterlayer"  # Explore's map with its picks, or a chart elsewhere
SLIDER = '[data-testid="stSlider"] input[type="range"]'


def chromium() -> str:
    """Where a Chromium is; UserError where there is none."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise UserError("No Chromium was found on this machine; install chromium, or set CHROMIUM to the path of one.")
    return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium without a window.

    Raises:
        MissingExtra: playwright is not installed.
        UserError: no Chromium, or one that does not start.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise MissingExtra("Measuring the dashboard in a browser", "test") from error
    path = chromium()
    with sync_playwright() as p:
        try:
            started = p.chromium.launch(executable_path=path, args=list(FLAGS))
        except Error as error:
            raise UserError(f"The browser at {path} does not start; set CHROMIUM to the path of a Chromium.") from error
        yield started
        started.close()


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    address: str
    process: int

    def cpu(self) -> float:
        """Seconds of processor time that it has taken so far, on all its threads."""
        import psutil

        times = psutil.Process(self.process).cpu_times()
        return float(times.user + times.system)

    def rest(self) -> None:
        """Wait until it does nothing more, as what a page does not wait for is computed behind it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            before = self.cpu()
            time.sleep(1)
            if self.cpu() - before < IDLE_SHARE:
                return


@contextlib.contextmanager
def server(home: Path) -> Iterator[Served]:
    """`fishersft app` with its store at `home`."""
    with _served(["-m", "fishersft", "app"], home, FISHERSFT_HOME=str(home)) as found:
        yield found


@contextlib.contextmanager
def one_dot(folder: Path) -> Iterator[Served]:
    """A page with nothing but a chart of one dot: what Streamlit and Plotly take by themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "one_dot.py"
    script.write_text(ONE_DOT, encoding="utf-8")
    quiet = ["--server.fileWatcherType", "none", "--browser.gatherUsageStats", "false"]
    with _served(["-m", "streamlit", "run", str(script), *quiet], folder) as found:
        yield found


@contextlib.contextmanager
def _served(command: list[str], folder: Path, **environment: str) -> Iterator[Served]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, *command, "--server.headless", "true", "--server.port", str(port), "--server.address", "127.0.0.1"],
        env={**os.environ, **environment},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + START
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise UserError("The dashboard does not start here; run fishersft app to see why.")
            time.sleep(0.1)
        yield Served(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def read(home: Path, corpus: Path) -> int:
    """`fishersft embed` of every record into the store at `home`; gives the trained tokens."""
    command = [sys.executable, "-m", "fishersft", "embed", str(corpus), "--holdout", "0", "--json"]
    done = subprocess.run(command, env={**os.environ, "FISHERSFT_HOME": str(home)}, capture_output=True, text=True)
    if done.returncode:
        raise UserError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "The generated texts were not read.")
    return int(json.loads(done.stdout)["tokens"])


@dataclass
class Visitor:
    """One tab in a context of its own, with the messages it sent and received: (seconds by the browser's clock, bytes)."""

    context: BrowserContext
    page: Page
    sent: list[float] = field(default_factory=list)
    received: list[tuple[float, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def arrive(cls, browser: Browser, **look: Any) -> Visitor:
        context = browser.new_context(viewport={"width": 1440, "height": 1000}, **look)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        visitor = cls(context, page)
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.webSocketFrameSent", lambda e: visitor.sent.append(e["timestamp"]))
        network.on("Network.webSocketFrameReceived", visitor._heard)
        page.on("pageerror", lambda e: visitor.problems.append(str(e)))
        return visitor

    def _heard(self, event: dict[str, Any]) -> None:
        self.received.append((event["timestamp"], len(event["response"]["payloadData"]) * 3 // 4))

    def first_chart(self, address: str) -> float:
        """Seconds from opening an address to points on its first chart."""
        started = time.perf_counter()
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_selector(CHART, state="attached")
        return time.perf_counter() - started

    def see(self, selector: str, seconds: float = PATIENCE) -> None:
        """Wait for something on the page; UserError where an exception is shown instead."""
        failed = '[data-testid="stException"]'
        self.page.wait_for_selector(f"{selector}, {failed}", state="attached", timeout=1000 * seconds)
        if not self.page.locator(selector).count():
            raise UserError(f"The page {self.page.url} failed: {'; '.join(self.errors())}")

    def settle(self, seconds: float = LONGEST) -> None:
        """Wait until the script has been idle for a moment."""
        quiet, until = 0, time.monotonic() + seconds
        while quiet < QUIET:
            if time.monotonic() > until:
                raise UserError(f"The page {self.page.url} was still busy after {seconds:,.0f} s.")
            self.page.wait_for_timeout(100)
            app = self.page.locator('[data-testid="stApp"]')
            state = app.first.get_attribute("data-test-script-state") if app.count() else ""
            quiet = quiet + 1 if state == "notRunning" and not self.page.locator(BUSY).count() else 0

    @property
    def budget(self) -> int:
        """What the slider says."""
        return int(self.page.locator(SLIDER).first.input_value())

    def press(self, key: str = "PageUp") -> int:
        """Move the budget with the keyboard; gives the number of messages sent before."""
        before = len(self.sent)
        slider = self.page.locator(SLIDER).first
        slider.focus()
        slider.press(key)
        return before

    def answered(self, before: int, seconds: float = PATIENCE) -> tuple[float, int]:
        """Seconds and bytes from the message that a `press` sent to the last one that came back."""
        until, heard, quiet = time.monotonic() + seconds, 0, 0
        while quiet < QUIET:
            if time.monotonic() > until:
                raise UserError(f"A move of the budget was not answered within {seconds:,.0f} s.")
            self.page.wait_for_timeout(100)
            back = [(at, size) for at, size in self.received if len(self.sent) > before and at >= self.sent[before]]
            state = self.page.locator('[data-testid="stApp"]').first.get_attribute("data-test-script-state")
            quiet = quiet + 1 if back and len(back) == heard and state == "notRunning" else 0
            heard = len(back)
        return back[-1][0] - self.sent[before], sum(size for _, size in back)

    def move(self, key: str = "PageUp") -> tuple[float, int]:
        """Move the budget once: seconds and bytes."""
        return self.answered(self.press(key))

    def errors(self) -> list[str]:
        """What went wrong on the page so far."""
        shown = self.page.locator('[data-testid="stException"]').all_inner_texts()
        return [text.strip().splitlines()[0] for text in shown if text.strip()] + self.problems

    def leave(self) -> None:
        self.context.close()
