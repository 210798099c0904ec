"""Compare in a real browser: maps that zoom, pan and brush together, and the budget that the address keeps."""

from .browsing import BROWSER, settle

pytestmark = BROWSER

MAPS = '[class*="st-key-compare-map-"]'
VIEWS = f"""() => [...document.querySelectorAll('{MAPS} .js-plotly-plot')]
  .map((g) => [...g._fullLayout.xaxis.range, ...g._fullLayout.yaxis.range].map((v) => v.toFixed(4)).join(" "))"""


def opened(page, address):
    page.goto(address)
    page.wait_for_function(f"document.querySelectorAll('{MAPS} .js-plotly-plot .points path').length > 300")
    settle(page)


def views(page):
    page.wait_for_timeout(800)
    return page.evaluate(VIEWS)


def rested(page):
    """The views once they are all one and stay."""
    for _ in range(30):
        now = views(page)
        if len(set(now)) == 1 and now == views(page):
            return now
    raise AssertionError(now)


def middle(page, k):
    box = page.locator(f"{MAPS} .nsewdrag").nth(k).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_where_one_map_is_zoomed_or_panned_the_others_follow(dashboard, page):
    opened(page, f"{dashboard}/compare")
    home = views(page)
    assert len(home) == 3 and len(set(home)) == 1
    page.mouse.move(*middle(page, 1))
    page.mouse.wheel(0, -400)
    zoomed = views(page)
    assert len(set(zoomed)) == 1 and zoomed != home
    x, y = middle(page, 2)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=5)
    page.mouse.up()
    panned = views(page)
    assert len(set(panned)) == 1 and panned != zoomed
    page.locator(f"{MAPS} [data-title='Reset axes']").first.click()
    assert views(page) == home


def test_a_lasso_on_one_map_lights_all_and_leaves_the_view(dashboard, page):
    opened(page, f"{dashboard}/compare")
    page.mouse.move(*middle(page, 0))
    page.mouse.wheel(0, -200)
    before = rested(page)
    page.locator(f"{MAPS} [data-title='Box Select']").first.click()
    x, y = middle(page, 0)
    page.mouse.move(x - 60, y - 60)
    page.mouse.down()
    page.mouse.move(x + 60, y + 60, steps=8)
    page.mouse.up()
    page.get_by_role("button", name="Clear the lasso").wait_for()
    settle(page)
    assert rested(page) == before
    lit = page.evaluate(
        f"""() => [...document.querySelectorAll('{MAPS} .js-plotly-plot')].map((g) => {{
            const t = g._fullData[0], on = [];
            for (let i = 0; i < t.x.length; i++) if (t.marker.opacity[i] === 1) on.push(t.customdata[i]);
            return on.sort((a, b) => a - b).join(" ");
        }})"""
    )
    assert len(set(lit)) == 1 and len(lit[0].split()) > 3
