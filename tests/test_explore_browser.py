"""The pick player and a phone's tap, in a real browser."""

import re

from . import test_browser
from .test_browser import opened, settle

pytestmark = test_browser.pytestmark
dashboard, browser, page = test_browser.dashboard, test_browser.browser, test_browser.page

STEPS = """
async () => {
  const find = (node) => {
    for (const e of node.querySelectorAll("*")) {
      const found = e.shadowRoot?.querySelector("input.at");
      if (found) return found;
    }
  };
  const slider = find(document), first = Number(slider.value), start = performance.now();
  await new Promise((done) => setTimeout(done, 3000));
  return (1000 * (Number(slider.value) - first)) / (performance.now() - start);
}
"""


def player(page, address):
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector(".player .now:has-text('Pick')")
    settle(page)
    return page.locator(".player .at")


def newest(page):
    return int(re.search(r"Pick ([\d,]+)", page.inner_text(".player .now"))[1].replace(",", ""))


def test_playing_passes_every_pick_quickly_and_rests_on_one_that_is_explained(dashboard, page):
    player(page, f"{dashboard}/?view=player&sentences=400")
    page.locator(".player .speed").select_option("60")
    page.get_by_role("button", name="Play", exact=True).click()
    assert page.evaluate(STEPS) >= 10
    page.get_by_role("button", name="Pause", exact=True).click()
    page.wait_for_url("**record=*")
    settle(page)
    at = newest(page)
    assert at > 30
    record = re.search(r"record ([\d,]+)", page.inner_text(".player .now"))[1]
    assert f"Record {record} is pick {at} of TokenOD" in page.inner_text('[data-testid="stMain"]')


def test_the_keyboard_steps_and_plays(dashboard, page):
    slider = player(page, f"{dashboard}/?view=player&sentences=40")
    slider.focus()
    for key, place in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowLeft", 2), ("End", 40), ("Home", 1)):
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


def test_a_click_in_the_player_opens_that_record(dashboard, page):
    player(page, f"{dashboard}/?view=player&sentences=5")
    box = page.locator(".player .map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url("**record=*")
    settle(page)
    assert "Why this sentence?" in page.inner_text('[data-testid="stMain"]')


def test_a_tap_on_a_phones_map_selects_and_a_swipe_scrolls(dashboard, browser):
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        user_agent="Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36",
    )
    phone = context.new_page()
    phone.set_default_timeout(60_000)
    opened(phone, dashboard)
    chart = phone.locator(".js-plotly-plot").first
    chart.scroll_into_view_if_needed()
    x, y = chart.evaluate(
        """g => {
            const f = g._fullLayout, t = g._fullData[0], r = g.getBoundingClientRect(), i = t.x.length - 1;
            return [r.left + f._size.l + f.xaxis.d2p(t.x[i]), r.top + f._size.t + f.yaxis.d2p(t.y[i])];
        }"""
    )
    phone.touchscreen.tap(x, y)
    phone.wait_for_url("**record=*")
    settle(phone)
    assert "is pick" in phone.inner_text('[data-testid="stMain"]')
    assert chart.evaluate("g => g._fullLayout.dragmode") is False
    context.close()
