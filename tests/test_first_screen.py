"""What a visitor sees of every page before scrolling, and what a screen reader or a keyboard meets there."""

import itertools

import pytest

from .browsing import BROWSER, new_tab, settle

pytestmark = BROWSER

PAGES = ("", "corpus", "compare", "curves", "generations", "evidence", "learn", "runs")
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
# What of each page must be whole on the first screen: its picture, its answer, and the control that people move.
FIRST = {
    "": [".st-key-verdict", ".sentences .map", ".sentences .play", ".st-key-sentences", "text=Record 902 is pick 1 of TokenOD"],
    "corpus": [".st-key-verdict"],
    "compare": [".st-key-verdict", ".js-plotly-plot"],
    "curves": [".st-key-verdict", ".js-plotly-plot"],
    "generations": [".st-key-verdict", ".js-plotly-plot"],
    "evidence": [".st-key-verdict", ".js-plotly-plot"],
    "learn": [".st-key-lesson-question", ".plane svg.rows"],
    "runs": [".st-key-verdict"],
}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


@pytest.fixture(scope="module", params=["light", "dark"])
def tab(request, browser):
    tab = new_tab(browser, viewport=DESK, color_scheme=request.param)
    yield tab
    tab.close()


def there(tab, selector):
    """The box of the first element that is shown."""
    return next(box for one in tab.locator(selector).all() if (box := one.bounding_box()) and box["width"] > 0)


@pytest.mark.parametrize("page", PAGES)
def test_the_first_screen_answers_and_every_one_can_use_it(page, dashboard, tab):
    from axe_playwright_python.sync_playwright import Axe

    tab.set_viewport_size(DESK)
    tab.goto(f"{dashboard}/{page}")
    tab.wait_for_selector("h1")
    settle(tab, 1_500)
    name = (page or "explore").capitalize()
    assert tab.locator("h1").all_inner_texts() == [name]
    assert tab.title() == f"{name} · fishersft"
    for selector in FIRST[page]:
        box = there(tab, selector)
        assert box["y"] >= 48, (selector, box)  # below the row of pages
        assert box["y"] + box["height"] <= DESK["height"], (selector, box)
        assert box["x"] + box["width"] <= DESK["width"], (selector, box)
    levels = tab.eval_on_selector_all("h1, h2, h3, h4", "all => all.filter(h => h.offsetParent).map(h => Number(h.tagName[1]))")
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    found = Axe().run(tab, options={"runOnly": RULES}).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_says_where_one_is_and_what_was_found(page, dashboard, tab):
    tab.set_viewport_size(PHONE)
    tab.goto(f"{dashboard}/{page}")
    tab.wait_for_selector("h1")
    settle(tab)
    box = there(tab, "h1")
    assert box["y"] + box["height"] < 200
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth + 2")


def test_tab_passes_help_marks_by_until_they_are_asked_for(dashboard, tab):
    tab.set_viewport_size(DESK)
    tab.goto(f"{dashboard}/?sentences=20")
    tab.wait_for_selector(".sentences .play")
    settle(tab)
    marks = "document.querySelectorAll('[data-testid=stTooltipIcon] button')"
    assert tab.evaluate(f"[...{marks}].every(mark => mark.tabIndex === -1)")
    tab.locator(".st-key-sentences input[type=range]").focus()
    tab.keyboard.press("?")
    assert "Help for" in tab.evaluate("document.activeElement.getAttribute('aria-label')")
    assert tab.evaluate(f"[...{marks}].every(mark => mark.tabIndex === 0)")
