"""What only a real browser shows: uploads, clicks on the map, the lasso, downloads, links, and hostile text that stays text."""

import json
import os
import re
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest

from .browsing import (
    BROWSER,
    CHART,
    MAP,
    ROOT,
    circle,
    downloaded,
    draw_lasso,
    lit,
    lonely,
    new_tab,
    opened,
    points_of,
    serving,
    settle,
    where,
)
from .tuned_run import tuned_run

A_HERON = "Herons nest in tall trees, often near water."
pytestmark = BROWSER

HANDSHAKE = (
    "GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_a_click_on_the_map_explains_that_very_record_and_the_link_reopens_it(dashboard, page, browser):
    opened(page, dashboard)
    record = lonely(page)
    page.mouse.click(*where(page, record))
    page.wait_for_url(f"**record={record}*")
    settle(page)
    assert re.search(rf"Record {record:,} is ", page.inner_text('[data-testid="stMain"]'))
    again = new_tab(browser)
    opened(again, page.url)
    assert f"Record {record:,} is " in again.inner_text('[data-testid="stMain"]')
    again.close()


def test_a_row_of_the_table_explains_its_record(dashboard, page):
    opened(page, f"{dashboard}/?sentences=5")
    canvas = page.locator('[data-testid="stDataFrameResizable"]').first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 36 + 17 + 34)  # the second pick's box
    page.wait_for_url("**record=281*")
    settle(page)
    assert "Record 281 is pick 2 of TokenOD" in page.inner_text('[data-testid="stMain"]')


def test_a_page_under_another_name_cannot_talk_to_the_dashboard(dashboard):
    def answer(host, origin):
        with socket.create_connection(("127.0.0.1", urlsplit(dashboard).port)) as line:
            line.sendall(HANDSHAKE.format(host=host, origin=origin).encode())
            return line.recv(100).split(b" ")[1]

    here = urlsplit(dashboard).netloc
    assert answer(here, dashboard) == b"101"
    assert answer("evil.example", "http://evil.example") == b"400"  # a name that its owner has pointed at this machine
    assert answer(here, "http://evil.example") == b"403"


def test_a_lasso_on_one_map_lights_the_same_records_on_the_others_and_another_takes_its_place(dashboard, page):
    opened(page, f"{dashboard}/compare?part=Records")
    for k in (1, 0):
        draw_lasso(page, k)
        page.wait_for_selector("text=Only the lasso's are shown")
        settle(page)
        sets = [lit(page, map) for map in range(3)]
        assert len(sets[0]) > 50
        assert sets[0] == sets[1] == sets[2]
    old = page.locator(".js-plotly-plot").nth(1).evaluate("g => g._fullData[0].selectedpoints ?? null")
    assert old is None  # the first lasso's own points are no longer selected there
    page.get_by_role("button", name="Clear the lasso").click()
    settle(page)
    assert lit(page, 0) == lit(page, 2) == []


def test_a_lasso_makes_a_set_that_the_table_shows(dashboard, page):
    opened(page, dashboard)
    points, box = points_of(page), page.locator(MAP).bounding_box()
    circle(page)
    page.wait_for_selector("text=/the lasso's [0-9,]+/")
    settle(page)
    low = {side: (0.3 * size - 16) / (size - 32) for side, size in (("x", box["width"]), ("y", box["height"]))}
    inside = [all(low[side] < points[side][i] / points["fine"] < 1 - low[side] for side in "xy") for i in range(len(points["x"]))]
    held = int(re.search(r"the lasso's ([\d,]+)", page.inner_text('[data-testid="stMain"]'))[1].replace(",", ""))
    assert abs(held - sum(inside)) <= 3 < 50 < held  # points on the very edge
    page.get_by_role("button", name="Clear the lasso").click()
    settle(page)
    assert "the lasso's" not in page.inner_text('[data-testid="stMain"]')


def test_downloads_hold_the_picks(dashboard, page, tmp_path):
    opened(page, f"{dashboard}/?sentences=9&part=Save+and+repeat")
    read_jsonl = partial(pd.read_json, lines=True)
    for form, ending, read in (
        ("JSON lines", "jsonl", read_jsonl),
        ("CSV", "csv", pd.read_csv),
        ("Parquet", "parquet", pd.read_parquet),
    ):
        got = downloaded(page, form)
        assert got.suggested_filename == f"token_od-9.{ending}"
        got.save_as(tmp_path / got.suggested_filename)
        table = read(tmp_path / got.suggested_filename)
        assert table["rank"].tolist() == list(range(1, 10))
        assert table["index"].iloc[0] == 902


def rows(n=14):
    return [
        {"text": f"Record {i} says that {'very ' * (i % 4)}little is known about it.", "topic": "ab"[i % 2]} for i in range(n)
    ]


def file_of(format, folder: Path) -> Path:
    table, path = pd.DataFrame(rows()), folder / f"mine.{format}"
    match format:
        case "txt":
            path.write_text("\n".join(table["text"]))
        case "csv" | "tsv":
            table.to_csv(path, index=False, sep="," if format == "csv" else "\t")
        case "jsonl":
            path.write_text("".join(json.dumps(r) + "\n" for r in rows()))
        case "json":
            path.write_text(json.dumps(rows()))
        case "parquet":
            table.to_parquet(path)
    return path


def upload(page, file):
    """Give the open Corpus page a file, until it tells how it was read."""
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(file)
    page.wait_for_selector(f".st-key-verdict:has-text('{Path(file).name}')")
    settle(page)


def explore(page, name):
    """Embed what the Corpus page shows and go on to Explore, which names it."""
    page.get_by_role("button", name=re.compile("Embed")).click()
    page.wait_for_selector("text=Why this sentence?")
    page.wait_for_selector(CHART, state="attached")
    settle(page)
    assert f"{name} ·" in page.inner_text('[data-testid="stMain"]')


def test_uploading_files_of_every_format_embedding_one_and_exploring_it(dashboard, page, tmp_path):
    page.goto(f"{dashboard}/corpus")
    page.get_by_text("Upload", exact=True).click()
    for format in ("txt", "csv", "tsv", "jsonl", "json", "parquet"):
        upload(page, file_of(format, tmp_path))
        assert "14 plain texts" in page.inner_text('[data-testid="stMain"]')
    explore(page, "mine.parquet")
    assert "upload%3A" in page.url or "upload:" in page.url


SHAPES = {
    "shapes/sharegpt.json": ("Read as ShareGPT chats (messages: conversations)", A_HERON, "Where do herons nest?"),
    "shapes/school_math.jsonl": ("Read as questions and answers (prompt: question, completion: answer)", "#### 7", "3 pears"),
    "shapes/conversations_with_source.jsonl.gz": (
        "Read as chats (messages: conversations)",
        A_HERON,
        "Where do herons nest?",
    ),
    "cases/chat_tool_calls.jsonl": ("Read as chats (messages: messages, tools: tools)", "It is 1, because", "What is 0"),
}


def test_an_upload_of_a_public_shape_says_how_it_is_read_and_marks_what_is_trained(dashboard, page):
    page.goto(f"{dashboard}/corpus")
    page.get_by_text("Upload", exact=True).click()
    for file, (read, trained, only_read) in SHAPES.items():
        upload(page, ROOT / "tests" / "data" / file)
        assert read in page.inner_text('[data-testid="stMain"]')
        record = page.locator('[data-testid="stHtml"]:has(span[style*="background"])').first
        marked = "".join(record.locator('span[style*="background"]').all_inner_texts())
        plain = "".join(record.locator('span[style*="opacity"]').all_inner_texts())
        assert trained in marked
        assert only_read in plain
        assert only_read not in marked
    explore(page, "chat_tool_calls.jsonl")  # the same way for all


def test_a_bad_upload_gets_a_box_and_the_demo_stays(dashboard, page, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "a"}\n{broken\n')
    page.goto(f"{dashboard}/corpus")
    page.get_by_text("Upload", exact=True).click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(bad)
    page.wait_for_selector("text=line 2 is broken")
    settle(page)
    page.get_by_text("Demo", exact=True).click()
    page.wait_for_selector("text=1,389 plain texts")


@pytest.mark.rare
@pytest.mark.parametrize(("base", "system"), [("dark", "light"), ("light", "dark")])
def test_a_theme_asked_for_holds_from_the_first_visitor_on_whatever_the_system_prefers(browser, tmp_path, base, system):
    with serving(tmp_path / "home", "--theme.base", base, folder=tmp_path) as address:
        tab = new_tab(browser, color_scheme=system)
        tab.goto(f"{address}/learn?lesson=greedy")  # the server's first page is opened by its own address
        for page in ("learn", "curves"):
            if page == "curves":
                tab.get_by_role("link", name="Curves").first.click()
                tab.wait_for_url("**/curves**")
            tab.wait_for_selector(".js-plotly-plot .xtitle", state="attached")
            settle(tab)
            ground = tab.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
            ink = tab.locator(".js-plotly-plot .xtitle").first.evaluate("e => getComputedStyle(e).fill")
            brighter = {"light": ground, "dark": ink}[base]
            assert brighter == {"light": "rgb(255, 255, 255)", "dark": "rgb(232, 234, 237)"}[base]
            assert ground != ink
        tab.close()


def test_two_tabs_keep_their_own_view(dashboard, page, browser):
    other = new_tab(browser)
    opened(page, f"{dashboard}/?sentences=5")
    opened(other, f"{dashboard}/?sentences=50&selector=longest")
    page.reload()
    settle(page)
    assert "the 5 picks of" in page.inner_text('[data-testid="stMain"]')
    assert "the 50 picks of" in other.inner_text('[data-testid="stMain"]')
    other.close()


def test_the_path_of_explore_leads_there_with_what_it_asks_for(dashboard, page):
    page.goto(f"{dashboard}/explore?sentences=77&selector=longest")
    page.wait_for_selector(CHART, state="attached")
    settle(page)
    said = page.inner_text("body")
    assert "the 77 picks of" in said and "Page not found" not in said
    assert "sentences=77" in page.url and "/explore" not in page.url


def test_back_returns_to_the_view_that_was_left(dashboard, page):
    opened(page, f"{dashboard}/?sentences=7&selector=longest")
    page.get_by_role("link", name="Runs").first.click()
    page.wait_for_url("**/runs**")
    settle(page)
    page.go_back()
    page.wait_for_selector(CHART, state="attached")
    settle(page)
    assert "the 7 picks of" in page.inner_text('[data-testid="stMain"]')
    assert "selector=Longest" in page.url


def test_back_leads_to_the_record_before_and_to_none_where_there_was_none(dashboard, page):
    page.goto(f"{dashboard}/?sentences=60")
    page.wait_for_selector(CHART, state="attached")
    settle(page)
    for record in ("902", "281"):
        asked = page.get_by_role("spinbutton", name="Record number")
        if not asked.is_visible():
            page.get_by_role("button", name="Another").click()
        asked.fill(record)
        asked.press("Enter")
        page.wait_for_url(f"**record={record}*")
        settle(page)
        page.wait_for_timeout(1_500)
    page.go_back()
    page.wait_for_url("**record=902*")
    settle(page)
    assert "Record 902 is pick 1" in page.inner_text('[data-testid="stMain"]')
    page.wait_for_timeout(1_500)
    page.go_back()
    page.wait_for_function("!location.href.includes('record=')")
    settle(page)
    page.wait_for_timeout(1_000)
    assert "record=" not in page.url and "Record 902 is pick 1" in page.inner_text('[data-testid="stMain"]')


def test_a_phone_shows_everything_without_scrolling_sideways(dashboard, browser):
    phone = new_tab(browser, viewport={"width": 390, "height": 844})
    for part in ("", "corpus", "compare", "curves", "learn", "runs"):
        phone.goto(f"{dashboard}/{part}")
        settle(phone)
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth + 2")
    phone.close()


@pytest.mark.rare
def test_an_installed_wheel_opens_the_same_dashboard_outside_the_checkout(page, tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", str(tmp_path / "site"), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    where_from = [sys.executable, "-c", "import fishersft.paths as p; print(p.root())"]
    root = subprocess.run(where_from, env=env, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    assert root == str(tmp_path / "site" / "fishersft" / "_bundle")
    with serving(tmp_path / "home", folder=tmp_path, PYTHONPATH=str(tmp_path / "site")) as address:
        opened(page, address)
        assert "the 120 picks of" in page.inner_text('[data-testid="stMain"]')


def test_a_servers_first_visitor_may_open_any_page_by_its_address_and_vote_by_the_keys_1_2_and_0(page, tmp_path):
    home = tmp_path / "home"
    tuned_run(home / "runs" / "abc123", selectors=("token_od", "uniform", "longest"))
    with serving(home, command=("-m", "streamlit", "run", str(ROOT / "app.py")), folder=tmp_path) as address:
        page.goto(f"{address}/generations?run=abc123&section=Vote")
        page.wait_for_selector('[data-testid="stTopNavLink"]')
        assert page.locator('[data-testid="stTopNavLink"]').count() == len(list((ROOT / "pages").glob("*.py")))
        assert page.locator('[data-testid="stSidebarNavLink"]').count() == 0
        names = ("Token Od", "Uniform", "Longest")
        for key, said in (("1", "left"), ("2", "right"), ("0", "neither")):
            page.wait_for_selector("text=Left is better")
            settle(page)
            main = page.locator('[data-testid="stMain"]')
            assert not any(f"{side}: {name}" in main.inner_text() for side in ("Left", "Right") for name in names)
            page.keyboard.press(key)
            page.wait_for_selector(f"text=Your vote is stored: {said}")
            settle(page)
            assert sum(f"{side}: {name}" in main.inner_text() for side in ("Left", "Right") for name in names) == 2
            page.keyboard.press("n")
        page.wait_for_selector("text=Pair 4 of 20")
        page.get_by_role("button", name="Voter").first.click()
        field = page.get_by_role("textbox", name="Voter")
        field.click()
        field.press("End")
        field.press("1")  # typed into a field it is a letter, not a vote
        field.press("Tab")
        page.wait_for_selector("text=Pair 1 of 20")
        settle(page)
        assert field.input_value() == "you1"
        assert "3 votes are stored" in page.inner_text('[data-testid="stMain"]')
