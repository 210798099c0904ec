"""Take the README's picture: Explore on the demo, the first pick explained, as a browser draws it.

pip install -e ".[test]" && python assets/take_screenshot.py        (needs Chromium)
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

OUT = Path(__file__).resolve().parent / "screenshot.png"
VIEW = "?sentences=60&colour=topic"


def main() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = {**os.environ, "FISHERSFT_HOME": tempfile.mkdtemp()}
    server = subprocess.Popen(
        [sys.executable, "-m", "fishersft", "app", "--server.headless", "true", f"--server.port={port}"], env=env
    )
    try:
        address = f"http://127.0.0.1:{port}/"
        for _ in range(120):
            try:
                urllib.request.urlopen(address + "_stcore/health", timeout=1)  # noqa: S310 - our own server
                break
            except OSError:
                time.sleep(0.5)
        with sync_playwright() as p:
            chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"])
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address + VIEW)
            page.wait_for_selector("text=Gain over a random draw")
            page.wait_for_timeout(4000)
            page.screenshot(path=OUT)
            browser.close()
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
