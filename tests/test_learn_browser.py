"""What only a real browser shows of the Learn page: points that are dragged, the table by keyboard, links, paper."""

import re

import pytest

from fishersft.lessons import LESSONS, ellipse, regression, target
from fishersft.lessons.lesson import Dragged, read_points

from .browsing import BROWSER, settle

pytestmark = BROWSER


def opened(page, address):
    page.goto(address)
    page.wait_for_selector(".plane svg .point, .js-plotly-plot .main-svg", state="attached")
    settle(page)


def place(page, x, y):
    """The pixel of a place of the first plane."""
    box, reach = page.locator(".plane svg.rows").bounding_box(), Dragged.reach
    return box["x"] + (x + reach) / (2 * reach) * box["width"], box["y"] + (reach - y) / (2 * reach) * box["height"]


def said(page):
    """The numbers under the plane."""
    return page.locator(".plane .said").inner_text().replace("\n", " ")


def points_in(address):
    """The points that an address holds."""
    found = re.search(r"points=([^&]*)", address)
    return read_points(found[1].replace("%2C", ",").replace("%3B", ";")) if found else ellipse.START


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


def test_a_measurement_is_dragged_along_x_and_the_error_bar_follows(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=line&points=-0.5,0,1;0.5,0,1")
    before = said(page)
    assert before.endswith(f"± {regression.Regression(points=((-0.5, 0.0, 1.0), (0.5, 0.0, 1.0))).band(0):.3g}")
    point = page.locator(".plane .point").nth(1)
    box = point.locator("circle").last.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(place(page, 2.5, 0)[0], y - 90, steps=4)  # it stays on the line of its noise
    assert said(page) != before
    page.mouse.up()
    page.wait_for_url(re.compile(r"points=-0.5%2C0%2C1%3B2.5%2C0%2C1"))
    settle(page)
    moved = regression.Regression(points=((-0.5, 0.0, 1.0), (2.5, 0.0, 1.0)))
    assert said(page).startswith(f"slope 0.6 ± {moved.bar():.3g}")


@pytest.mark.rare
def test_question_button_and_the_whole_picture_are_in_one_view_before_and_after_the_answer(dashboard, browser):
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    for name in LESSONS:
        opened(tab, f"{dashboard}/learn?lesson={name}")
        for button in ("reveal", "again"):
            tab.locator(f".st-key-{button} button").wait_for()
            settle(tab)
            parts = f".st-key-{button} button, .st-key-lesson-question, .plane .view:not([hidden]) svg, .js-plotly-plot"
            ends = tab.locator(parts).evaluate_all("all => all.map(e => e.getBoundingClientRect()).map(b => [b.top, b.bottom])")
            assert len(ends) >= 3 and all(0 <= top < bottom <= 900 for top, bottom in ends), (name, button, ends)
            if button == "reveal":
                tab.locator(".st-key-reveal button").click()
    tab.close()


def test_a_target_is_dragged_and_the_designs_are_made_anew_where_it_rests(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=target")
    lesson = target.TargetLesson()
    assert said(page) == f"mean variance on the target with these picks: {lesson.variance('VOptimal', 8):.3g}"
    before, wanted = said(page), page.locator(".plane .wanted").get_attribute("points")
    picks = page.locator(".plane svg.rows .pick").evaluate_all("all => all.map(p => p.getAttribute('d'))")
    page.mouse.move(*place(page, 0.8, 1.1))
    page.mouse.down()
    page.mouse.move(*place(page, -1.0, 1.5), steps=4)
    assert said(page) != before and page.locator(".plane .wanted").get_attribute("points") != wanted
    page.mouse.up()
    page.wait_for_url(re.compile(r"points=-1%2C1.5%2C1"))
    settle(page)
    moved = target.TargetLesson(points=((-1.0, 1.5, 1.0),))
    assert said(page) == f"mean variance on the target with these picks: {moved.variance('VOptimal', 8):.3g}"
    assert page.locator(".plane svg.rows .pick").evaluate_all("all => all.map(p => p.getAttribute('d'))") != picks
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
    tab.locator(".plane svg.rows").scroll_into_view_if_needed()
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
    page.get_by_role("link", name="Tokens come in sentences").click()
    page.wait_for_url("**lesson=sentences*")
    settle(page)
    assert page.locator("h2", has_text="Tokens come in sentences").count() == 1
    page.go_back()
    page.wait_for_url("**lesson=greedy*")
    settle(page)
    assert page.locator("h2", has_text="Greedy against the best").count() == 1


def test_paper_shows_the_lesson_without_its_controls(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=greedy")
    page.emulate_media(media="print")
    for gone in (".st-key-lesson-contents", ".st-key-lesson-controls", "header", ".st-key-lesson-question button"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.locator(".js-plotly-plot").first.is_visible()
    assert page.get_by_text("Predict:").is_visible()
    assert page.get_by_text("Picks: 3; Pool: 1.").is_visible()


def test_the_sheet_has_the_exercises_and_the_answers_on_a_page_of_their_own(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=line&answers=true")
    answers, exercise = page.locator(".st-key-lesson-answers"), page.get_by_text("You may measure four times")
    assert exercise.is_visible() and not answers.is_visible()
    page.emulate_media(media="print")
    assert answers.is_visible() and exercise.is_visible()
    assert len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4"))) == 2
    assert not page.get_by_role("button", name="Answer").first.is_visible()


def test_the_presenters_view_takes_one_key_a_step(dashboard, page):
    opened(page, f"{dashboard}/learn?lesson=line&present=true&path=10")
    lines = LESSONS["line"].lines
    assert page.get_by_text(lines[0]).is_visible() and not page.locator("header").first.is_visible()
    page.keyboard.press("ArrowRight")
    page.get_by_text(lines[1]).wait_for()
    settle(page)
    page.keyboard.press("r")
    page.locator(".st-key-again button").wait_for()
    settle(page)
    page.locator('[data-testid="stSlider"]').click()  # a slider that was clicked does not take the next key
    page.keyboard.press("ArrowLeft")
    page.locator(".st-key-reveal button").wait_for()
    settle(page)
    page.locator(".plane .point").first.focus()  # a point that was reached by keyboard keeps its keys
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"points=0.35"))
    settle(page)
    assert page.locator(".st-key-reveal button").is_visible()
    page.locator(".plane .point").first.blur()
    page.keyboard.press("Escape")
    page.locator(".st-key-lesson-contents").wait_for()
    page.wait_for_url(lambda url: "present" not in url)


def test_a_dark_screen_is_printed_on_white(dashboard, browser):
    tab = browser.new_page(color_scheme="dark")
    opened(tab, f"{dashboard}/learn?lesson=returns")
    turned = "getComputedStyle(document.querySelector('.stApp')).filter"
    assert tab.evaluate(turned) == "none"
    tab.emulate_media(media="print", color_scheme="dark")
    assert "invert(1)" in tab.evaluate(turned)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.close()
