"""The map of Explore in a real browser: hovering, dragging the budget, playing, keys, clicks, a lasso, and a phone's tap."""

import re
import time

import numpy as np
import pytest

from fishersft import Store
from fishersft.plots.sentence_map import on_grid
from fishersft.scoring import projection

from .bench.large_pool import large_pool
from .browsing import BROWSER, MAP, circle, lonely, opened, points_of, serving, settle, where

pytestmark = BROWSER

STEPS = """
async () => {
  const find = (node) => {
    for (const e of node.querySelectorAll("*")) {
      const found = e.shadowRoot?.querySelector("input.at");
      if (found) return found;
    }
  };
  const slider = find(document), first = Number(slider.value), start = performance.now();
  await new Promise((done) => setTimeout(done, 1500));
  return (1000 * (Number(slider.value) - first)) / (performance.now() - start);
}
"""


def player(page, address):
    page.goto(address)
    page.wait_for_selector(".sentences .now:has-text('Pick')")
    settle(page)
    return page.locator(".sentences .at")


def newest(page):
    return int(re.search(r"Pick ([\d,]+)", page.inner_text(".sentences .now"))[1].replace(",", ""))


def test_the_pointer_shows_text_topic_tokens_gain_and_pick(dashboard, page):
    opened(page, f"{dashboard}/?sentences=20")
    points = points_of(page)
    x, y = where(page, 902)
    page.mouse.move(x - 30, y - 30)
    page.mouse.move(x, y)
    page.wait_for_selector(".sentences .hover:not([hidden])")
    said = page.inner_text(".sentences .hover")
    i = points["record"].index(902)
    assert f"pick 1, +625 nats · {points['tags'][points['tag'][i]]} · {points['tokens'][i]} tokens · record 902" in said
    assert points["text"][i] in said
    record = lonely(page)
    page.mouse.move(*where(page, record))
    page.wait_for_function("document.querySelector('.sentences .hover') || true")
    assert f"record {record:,}" in page.inner_text(".sentences .hover")


def test_dragging_the_budget_moves_the_lit_points_while_it_is_dragged_and_the_numbers_follow(dashboard, page):
    opened(page, dashboard)
    assert newest(page) == 120
    thumb = page.locator('.st-key-sentences [data-testid="stSliderThumbValue"]')
    box = thumb.bounding_box()
    y = (
        page.locator(".st-key-sentences input[type=range]").evaluate(
            "e => e.closest('[style*=left]').getBoundingClientRect().top"
        )
        + 6
    )
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    seen = []
    for step in (20, 60, 120):
        page.mouse.move(box["x"] + box["width"] / 2 + step, y)
        page.wait_for_timeout(60)
        seen.append(newest(page))
    assert 120 < seen[0] < seen[1] < seen[2]
    assert f"the {seen[2]} picks" not in page.inner_text(".st-key-verdict")  # the server has not been asked yet
    page.mouse.up()
    page.wait_for_selector(f".st-key-verdict:has-text('the {seen[2]:,} picks')")
    settle(page)
    assert newest(page) == seen[2]


def test_playing_on_the_map_passes_every_pick_quickly_and_rests_on_one_that_is_explained(dashboard, page):
    player(page, f"{dashboard}/?sentences=400")
    page.locator(".sentences .speed").select_option("60")
    page.get_by_role("button", name="Play", exact=True).click()
    assert max(page.evaluate(STEPS) for _ in range(4)) >= 10
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_url("**record=*")
    settle(page)
    at = newest(page)
    assert at > 30
    record = re.search(r"record ([\d,]*\d)", page.inner_text(".sentences .now"))[1]
    assert f"Record {record} is pick {at} of TokenOD" in page.inner_text('[data-testid="stMain"]')


def test_the_keyboard_steps_and_plays(dashboard, page):
    slider = player(page, f"{dashboard}/?view=player&sentences=40")
    slider.focus()
    for key, place in (("Home", 1), ("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 40), ("Home", 1)):
        page.keyboard.press(key)
        assert newest(page) == place
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**record=281*")
    settle(page)
    assert newest(page) == 2  # the server's answer moves nothing
    slider.focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(800)
    page.keyboard.press("Space")
    assert newest(page) > 2


def test_back_takes_the_player_to_the_pick_before(dashboard, page):
    slider = player(page, f"{dashboard}/?view=player&sentences=40")
    slider.focus()
    for key, record in (("ArrowLeft", ""), ("Home", "902")):
        page.keyboard.press(key)
        page.wait_for_url(f"**record={record}*")
        settle(page)
        page.wait_for_timeout(1_500)
    page.go_back()
    page.wait_for_function("!location.href.includes('record=902')")
    settle(page)
    assert newest(page) == 39


def test_a_phone_selects_by_a_tap(dashboard, browser):
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        user_agent="Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
    )
    phone = context.new_page()
    player(phone, dashboard)
    field = phone.locator(MAP)
    field.scroll_into_view_if_needed()
    phone.touchscreen.tap(*where(phone, record := lonely(phone)))
    phone.wait_for_url(f"**record={record}*")
    settle(phone)
    assert re.search(rf"Record {record:,} is ", phone.inner_text('[data-testid="stMain"]'))
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth + 2")
    context.close()


def test_zooming_brings_a_region_near_and_the_whole_map_back(dashboard, page):
    opened(page, f"{dashboard}/?sentences=20")
    record = lonely(page)
    x, y = where(page, record)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -800)
    page.mouse.click(x, y)  # a point under the pointer stays there
    page.wait_for_url(f"**record={record}*")
    page.get_by_role("button", name="Show the whole map").click()
    page.mouse.move(x, y)
    assert f"record {record:,}" in page.inner_text(".sentences .hover")


def test_the_camera_saves_the_map_as_png_and_svg(dashboard, page):
    for picture, start in (("png", b"\x89PNG"), ("svg", b"<svg")):
        opened(page, f"{dashboard}/?sentences=20&picture={picture}&part=Save+and+repeat")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save the picture").click()
        data = download.value.path().read_bytes()
        assert download.value.suggested_filename == f"explore-map.{picture}"
        assert data.startswith(start)
    assert data.count(b"<path") >= 1250


def test_a_lasso_on_the_map_becomes_the_target_and_its_picks_are_there_soon(dashboard, page):
    for kind in ("UMAP", "PCA"):  # two sets; the first one also loads what any target needs
        opened(page, f"{dashboard}/?map={kind}")
        circle(page)
        page.wait_for_selector("text=/the lasso's [0-9,]+/")
        settle(page)
        button = page.get_by_role("button", name="Use as target").first
        started = time.monotonic()
        button.click()
        page.wait_for_selector(".sentences .legend:has-text('target text')")
        print(f"from lasso to picks: {time.monotonic() - started:.1f} s")  # under 3 s on two idle cores is the aim
        page.wait_for_selector("text=at looking like the target")
        page.wait_for_selector("text=Variance on the target")
        assert "the lasso's" not in page.inner_text('[data-testid="stMain"]')


MANY = 25_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The address of a dashboard that shows a pool of 25,000 generated records, and their places on its map."""
    home = tmp_path_factory.mktemp("many")
    corpus, rows = large_pool(home, MANY, dimension=16)
    places = on_grid(projection.map_of(rows, "pca", store=Store(home)).xy, equal_axes=True)
    with serving(home) as address:
        yield f"{address}/?corpus={corpus.source}&holdout=0&map=PCA&selector=uniform&sentences=200", places


def pixels(page, places):
    """Where places on a map whose axes are equal are seen, before it is zoomed."""
    box = page.locator(MAP).bounding_box()
    side = min(box["width"], box["height"]) - 32
    shares = places / 65_536 * [1, -1] + [0, 1]
    return [box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2] + shares * side, box


def test_a_pool_of_any_size_is_a_density_whose_every_record_a_lasso_finds(many, page):
    address, places = many
    received = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
    player(page, address)  # what is computed behind the page may come later
    assert sum(received) < 2_000_000
    assert f"density of {MANY:,} records" in page.inner_text(".sentences .legend")
    circle(page)
    page.wait_for_selector(".st-key-marked")
    at, box = pixels(page, places)
    share = (at - [box["x"], box["y"]]) / [box["width"], box["height"]]
    inside = int(((share > 0.3) & (share < 0.7)).all(1).sum())
    held = int(re.search(r"holds ([\d,]+) records", page.inner_text(".st-key-marked"))[1].replace(",", ""))
    assert held == pytest.approx(inside, rel=0.02) and inside > 1_000
    settle(page)
    assert "not selected" not in page.inner_text(".sentences .legend")


def test_a_density_answers_the_pointer_moves_with_the_budget_and_shows_a_region_anew(many, page):
    address, places = many
    player(page, address)  # what is computed behind the page may come later
    at, box = pixels(page, places)
    sample = page.evaluate("[...globalThis.fishersftPoints.values()].find((p) => p.density).record")
    assert len(sample) == 5_000
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    page.mouse.move(*at[min(sample, key=lambda r: np.abs(at[r] - middle).sum())].tolist())
    page.wait_for_selector(".sentences .hover:not([hidden])")
    assert re.search(r"\d+ tokens · record [\d,]+\n\w+", page.inner_text(".sentences .hover"))
    page.locator(".st-key-sentences input[type=range]").focus()
    before = newest(page)
    page.keyboard.press("PageUp")
    settle(page)
    assert newest(page) > before
    page.mouse.move(*middle.tolist())
    page.mouse.wheel(0, -900)
    page.wait_for_selector(".sentences .legend:has-text('records around here, each a point')")
    settle(page)
    close = page.evaluate("[...globalThis.fishersftPoints.values()].findLast((p) => p.window)")
    left, bottom, right, top = close["window"]
    there = (places >= [left, bottom]).all(1) & (places <= [right, top]).all(1)
    assert sorted(close["record"]) == np.flatnonzero(there).tolist()
