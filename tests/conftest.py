"""What every test may use: a store of its own, tiny pools, tiny corpora, the small real models where they are at hand."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import numpy as np
import pytest
from streamlit.components.v2 import manifest_scanner

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a wrong path otherwise asks the hub for many seconds
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; some tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

from fishersft import Store, TokenEmbeddings, cli, embed, load_corpus
from fishersft.ui import behind

from .browsing import CHROMIUM, FLAGS, ROOT, new_tab, serving

SHARED = ROOT.parent / "shared"

# Every AppTest looks through all installed packages for components of their own, half a second each time; nothing is installed
# while the tests run, so one look is enough.
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


# A generated case may take long on a loaded machine; what hangs is ended by the suite's own timeout.
hypothesis.settings.register_profile("fishersft", deadline=None)
hypothesis.settings.load_profile("fishersft")

# A test's page waits for all that it shows; what a page looks like before that has tests of its own.
behind.AT_ONCE = behind.ALREADY = 200.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of the test's own."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FISHERSFT_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AppTest leaves its script behind as `__main__`, which every process that a later test starts would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A command that a test runs in this process may take more processors; the next test does not."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def shared() -> Path:
    """The folder of real corpora and models beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the corpora and models of ../shared are not at hand")
    return SHARED


def random_blocks(n: int, d: int, seed: int = 0, most: int = 9, scale: float = 1.0, least: int = 1) -> list[np.ndarray]:
    """n blocks of 1 to `most` rows with a falling spectrum."""
    rng = np.random.default_rng(seed)
    spectrum = scale / np.sqrt(np.arange(1, d + 1))
    return [rng.normal(size=(rng.integers(least, most + 1), d)) * spectrum for _ in range(n)]


@pytest.fixture
def pool_of() -> Callable[..., TokenEmbeddings]:
    return lambda *a, **k: TokenEmbeddings.of(random_blocks(*a, **k))


def command_line(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`fishersft ARGUMENTS` in this process, which has the heavy libraries loaded already; what a real one would give back."""
    out, err = io.StringIO(), io.StringIO()
    words = ["fishersft", *map(str, arguments)]
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", words),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


TEXTS = [
    "The cat sat on the mat.",
    "A storm is coming from the west.",
    "Two knights and a bishop are enough.",
    "Stir the onions until they are soft.",
    "The cat sat on the mat.",
    "The court finds for the plaintiff.",
    "She wrote to her brother every Sunday without fail, and he never once answered.",
    "Rain.",
]


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    """A small corpus with a topic column and one exact duplicate."""
    path = tmp_path / "small.jsonl"
    rows = [{"text": t, "topic": "ab"[i % 2]} for i, t in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


@pytest.fixture
def some_of_the_demo(tmp_path: Path) -> Path:
    """A corpus of 200 records of the demo, none of which is embedded yet."""
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in load_corpus("demo").texts[:200]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store in which the demo was embedded on this machine, without what ships behind it."""
    store = Store(tmp_path_factory.mktemp("fresh"))
    embed("demo", "mini", store=store)
    return store


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], str]]:
    """A real HTTP server on 127.0.0.1: give it {path: bytes}, get its address."""
    servers = []

    def start(files: dict[str, bytes]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def dashboard_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store behind `dashboard`, which every test of a browser shares."""
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="session")
def dashboard(dashboard_home: Path) -> Iterator[str]:
    """The address of a dashboard that serves all tests of this worker."""
    with serving(dashboard_home) as address:
        yield address


@pytest.fixture(scope="module")  # no longer: its event loop would be in the way of tests that need one of their own
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A tab; at the end no exception was shown, and neither a script nor the console complained."""
    tab = new_tab(browser)
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda m: m.type == "error" and "_stcore" not in m.location.get("url", "") and problems.append(m.text))
    yield tab
    assert tab.locator('[data-testid="stException"]').all_inner_texts() == []
    assert problems == []
    tab.close()
