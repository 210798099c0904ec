"""What only a real browser shows of the Learn page: points that are dragged, the table by keyboard, links, paper."""

import re

import pytest

from fishersft.lessons import ellipse, target

from .browsing import BROWSER, settle

pytestmark = BROWSER


def opened(page, address):
    page.goto(address)
    page.wait_for_selector(".plane svg .region, .js-plotly-plot .points path", state="attached")
    settle(page)


def place(page, x, y):
    """The pixel of a place of the first plane."""
    box = page.locator(".plane svg").bounding_box()
    reach = 2 * ellipse.REACH
    return box["x"] + (x + ellipse.REACH) / reach * box["width"], box["y"] + (ellipse.REACH - y) / reach * box["height"]


def said(page):
    """The numbers under the plane."""
    return page.locator(".plane .said").inner_text().replace("\n", " ")


def points_in(address):
    """The points that an address holds."""
    found = re.search(r"points=([^&]*)", address)
    return ellipse.read_points(found[1].replace("%2C", ",").replace("%3B", ";")) if found else ellipse.START


def test_a_point_is_dragged_and_the_ellipse_follows_before_the_server_is_asked(dashboard, page, browser):
    opened(page, f"{dashboard}/learn?lesson=ellipse&points=1,0,1")
    lesson = ellipse.Ellipse(points=((1.0, 0.0, 1.0),))
    before, region = said(page), page.locator(".plane .region").get_attribute("points")
    assert before.startswith(f"log det gained {float(lesson.show().numbers[0].value.split()[0]):.3g} nats")
    page.mouse.move(*place(page, 1, 0))
    page.mouse.down()
    page.mouse.move(*place(page, 1.5, 1), steps=4)
    page.mouse.move(*place(page, -1, 2), steps=4)
    assert said(page) != before and page.locator(".plane .region").get_attribute("points") != region
    assert "points=1%2C0%2C1" in page.url or "points=1,0,1" in page.url
    page.mouse.up()
    page.wait_for_url(re.compile(r"points=-1%2C2%2C1$"))
    settle(page)
    moved = ellipse.Ellipse(points=((-1.0, 2.0, 1.0),)).show()
    assert moved.numbers[0].value.split()[0] in page.inner_text('[data-testid="stMain"]')
    again = browser.new_page(viewport={"width": 1440, "height": 1100})
    opened(again, page.url)
    assert again.locator(".plane .point").count() == 1 and said(again).split(";")[0] == said(page).split(";")[0]
    again.close()


def test_a_target_is_dragged_and_the_designs_are_made_anew_where_it_rests(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=target")
    lesson = target.TargetLesson()
    assert said(page) == f"mean variance on the target with these picks: {lesson.variance('VOptimal', 8):.3g}"
    before, wanted = said(page), page.locator(".plane .wanted").get_attribute("points")
    picks = page.locator(".plane .pick").evaluate_all("all => all.map(p => p.getAttribute('d'))")
    page.mouse.move(*place(page, 0.8, 1.1))
    page.mouse.down()
    page.mouse.move(*place(page, -1.0, 1.5), steps=4)
    assert said(page) != before and page.locator(".plane .wanted").get_attribute("points") != wanted
    page.mouse.up()
    page.wait_for_url(re.compile(r"points=-1%2C1.5%2C1"))
    settle(page)
    moved = target.TargetLesson(points=((-1.0, 1.5, 1.0),))
    assert said(page) == f"mean variance on the target with these picks: {moved.variance('VOptimal', 8):.3g}"
    assert page.locator(".plane .pick").evaluate_all("all => all.map(p => p.getAttribute('d'))") != picks
    page.locator(".plane .point").focus()
    for key in ("ArrowRight", "Delete", "+"):  # it is moved by keys, and never removed or weighed
        page.keyboard.press(key)
    page.wait_for_url(re.compile(r"points=-0.95%2C1.5%2C1"))
    assert page.locator(".plane .point").count() == 1


def test_a_click_adds_weighs_and_removes(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=ellipse&points=1,0,1")
    page.mouse.click(*place(page, -1.0, 2.0))
    page.wait_for_url(re.compile(r"points=1%2C0%2C1%3B-1%2C2%2C1$"))
    settle(page)
    page.mouse.click(*place(page, -1.0, 2.0))
    page.wait_for_url(re.compile(r"points=1%2C0%2C1%3B-1%2C2%2C2$"))
    settle(page)
    page.get_by_text("move the nearest", exact=True).click()
    settle(page)
    page.mouse.click(*place(page, -2.0, 1.0))
    page.wait_for_url(re.compile(r"points=1%2C0%2C1%3B-2%2C1%2C2$"))
    settle(page)
    page.get_by_text("remove the nearest", exact=True).click()
    settle(page)
    page.mouse.click(*place(page, 1.0, 0.6))
    page.wait_for_url(re.compile(r"points=-2%2C1%2C2$"))
    settle(page)


def test_points_are_moved_weighed_and_removed_by_keyboard(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=ellipse&points=1,0,1;0,2,1")
    point = page.locator(".plane .point").first
    assert point.get_attribute("aria-label").startswith("Point 1 of 2: 1, 0, weight 1. Arrow keys move it")
    point.focus()
    for key in ("ArrowRight", "Shift+ArrowUp", "+", "+"):
        page.keyboard.press(key)
    page.wait_for_url(re.compile(r"points=1.05%2C0.25%2C3%3B0%2C2%2C1$"))
    settle(page)
    page.keyboard.press("Delete")  # still the same point: the picture that the server drew anew keeps the place
    page.wait_for_url(re.compile(r"points=0%2C2%2C1$"))


@pytest.mark.parametrize("width", [390, 1440])
def test_points_are_dragged_by_a_finger(dashboard, browser, width):
    tab = browser.new_page(viewport={"width": width, "height": 900}, has_touch=True)
    opened(tab, f"{dashboard}/learn?lesson=ellipse&points=1,0,1")
    tab.locator(".plane svg").scroll_into_view_if_needed()
    tab.wait_for_timeout(300)
    finger = tab.context.new_cdp_session(tab)
    for kind, at in (("touchStart", (1, 0)), ("touchMove", (0.5, 1)), ("touchMove", (-1, 2)), ("touchEnd", None)):
        where = [dict(zip("xy", place(tab, *at), strict=True))] if at else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
        tab.wait_for_timeout(50)
    tab.wait_for_url(re.compile("points="))
    tab.wait_for_function("!location.href.includes('points=1,0,1') && !location.href.includes('points=1%2C0%2C1')")
    assert points_in(tab.url) == ((-1.0, 2.0, 1.0),)
    tab.close()


def test_the_table_is_edited_by_keyboard_alone(dashboard, page):
    from playwright.sync_api import TimeoutError as NotYet
    from playwright.sync_api import expect

    opened(page, f"{dashboard}/learn?lesson=ellipse&points=1,0,1")
    grid, editor = page.locator('[data-testid="stDataFrameResizable"]').first, page.locator("#portal input")

    def edited():
        """Type 2 into the first cell; whether the address then says so."""
        grid.scroll_into_view_if_needed()
        box = grid.bounding_box()
        page.mouse.click(box["x"] + 120, box["y"] + 52)
        page.keyboard.press("Enter")
        try:
            editor.wait_for(timeout=5_000)
            page.keyboard.press("Control+A")
            page.keyboard.type("2")
            expect(editor).to_have_value("2")
            page.keyboard.press("Enter")
            page.wait_for_url(re.compile(r"points=2%2C0%2C1"), timeout=10_000)
        except (NotYet, AssertionError):  # the grid was still being laid out, or did not have the keyboard yet
            page.keyboard.press("Escape")
            return False
        return True

    assert any(edited() for _ in range(6))
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
