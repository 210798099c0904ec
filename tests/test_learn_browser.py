"""What only a real browser shows of the Learn page: a click that adds a point, the table by keyboard, links, paper."""

import re

from . import test_browser
from .test_browser import settle

pytestmark = test_browser.pytestmark
dashboard, browser, page = test_browser.dashboard, test_browser.browser, test_browser.page


def opened(page, address):
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector(".js-plotly-plot .points path", state="attached")
    settle(page)


def place(page, x, y):
    """The pixel of a place of the first plane."""
    return page.locator(".js-plotly-plot").first.evaluate(
        """(g, [x, y]) => {
            const f = g._fullLayout, r = g.getBoundingClientRect();
            return [r.left + f.xaxis._offset + f.xaxis.d2p(x), r.top + f.yaxis._offset + f.yaxis.d2p(y)];
        }""",
        [x, y],
    )


def test_a_click_adds_a_point_another_act_removes_it_and_the_link_reopens_it(dashboard, page, browser):
    opened(page, f"{dashboard}/learn?lesson=ellipse&points=1,0,1")
    x, y = place(page, -1.0, 2.0)
    page.mouse.move(x - 15, y - 15)
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    page.mouse.click(x, y)
    page.wait_for_url(re.compile(r"points=1%2C0%2C1%3B-1%2C2%2C1"))
    settle(page)
    again = browser.new_page(viewport={"width": 1440, "height": 1100})
    opened(again, page.url)
    assert "2 points" in again.inner_text('[data-testid="stMain"]')
    again.close()
    page.get_by_text("remove the nearest", exact=True).click()
    settle(page)
    x, y = place(page, 1.0, 0.25)
    page.mouse.move(x - 15, y - 15)
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    page.mouse.click(x, y)
    page.wait_for_url(re.compile(r"points=-1%2C2%2C1$"))
    settle(page)


def test_the_table_is_edited_by_keyboard_alone(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=ellipse&points=1,0,1")
    grid = page.locator('[data-testid="stDataFrameResizable"]').first
    grid.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 120, box["y"] + 52)
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    page.keyboard.press("Control+A")
    page.keyboard.type("2", delay=50)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"points=2%2C0%2C1"))
    settle(page)


def test_the_next_lesson_and_back(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=greedy&picks=4")
    page.get_by_role("link", name="Lazy greedy").click()
    page.wait_for_url("**lesson=lazy*")
    settle(page)
    assert page.locator("h3", has_text="Lazy greedy").count() == 1
    page.go_back()
    page.wait_for_url("**lesson=greedy*")
    settle(page)
    assert page.locator("h3", has_text="Greedy against the best").count() == 1


def test_paper_shows_the_lesson_without_its_controls(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=greedy")
    page.emulate_media(media="print")
    for gone in (".st-key-lesson-contents", ".st-key-lesson-controls", "header", ".st-key-lesson-question button"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.locator(".js-plotly-plot").first.is_visible()
    assert page.get_by_text("Predict:").is_visible()
    assert page.get_by_text("Picks: 3; Pool: 1.").is_visible()


def test_a_dark_screen_is_printed_on_white(dashboard, browser):
    tab = browser.new_page(color_scheme="dark")
    opened(tab, f"{dashboard}/learn?lesson=returns")
    turned = "getComputedStyle(document.querySelector('.stApp')).filter"
    assert tab.evaluate(turned) == "none"
    tab.emulate_media(media="print", color_scheme="dark")
    assert "invert(1)" in tab.evaluate(turned)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.close()
