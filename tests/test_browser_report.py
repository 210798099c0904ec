"""A report in a real browser with the network cut off: drawn, in both themes, on paper, saved as png and svg, and obeying nobody."""

import json
import time

import pytest

from fishersft import embed, load_corpus, select
from fishersft.export.finetune_report import finetune_page
from fishersft.export.selection_report import selection_page
from fishersft.pipeline.selections import kept_of

from .browsing import BROWSER, PATIENCE
from .test_pages import HOSTILE
from .test_reports import measured

pytestmark = BROWSER
EXTRA = [
    "<style>body{display:none}</style>",
    "<svg onload=alert(1)>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
]


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """{name: file} of a selection's and a fine-tuning's report, both full of hostile texts."""
    folder = tmp_path_factory.mktemp("reports")
    path = folder / "<img src=x onerror=alert(1)>.jsonl"
    texts = [*HOSTILE, *EXTRA]
    path.write_text("".join(json.dumps({"text": t, "<b>c</b>": "ab"[k % 2]}) + "\n" for k, t in enumerate(texts)))
    run = measured(folder / "run", write=lambda cell, k: texts[k % len(texts)], prompts=len(texts), source=HOSTILE[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FISHERSFT_HOME", str(folder / "home"))
        corpus = load_corpus(str(path), holdout=0)
        rows = embed(corpus)
        picks = select(corpus, budget=len(texts) - 1)
        pages = {"selection": selection_page(kept_of(corpus, rows, picks), (corpus, rows)), "finetune": finetune_page(run)}
        files = {name: folder / f"{name}.html" for name in pages}
        for name, page in pages.items():
            files[name].write_text(page.html(), encoding="utf-8")
    return files


@pytest.mark.parametrize("name", ["selection", "finetune"])
def test_it_is_drawn_without_a_network_and_nothing_leaves_or_runs(reports, browser, name):
    context = browser.new_context(offline=True, color_scheme="dark", viewport={"width": 1200, "height": 900})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.goto(reports[name].as_uri())
    page.wait_for_selector("html[data-drawn]")
    figures = int(page.evaluate("document.documentElement.dataset.drawn"))
    assert figures >= 2
    assert page.locator(".plot .main-svg").count() >= figures
    assert page.locator("h1").is_visible()
    assert page.locator("main img, main iframe, main a").count() == 0
    assert asked == [reports[name].as_uri()]
    assert said == []
    text = page.locator("main").inner_text()
    assert "<img src=x onerror=alert(1)>" in text
    assert "[U+202E]" in text
    # the policy, not only the escaping: a script that somebody adds does not run, and nothing is fetched
    page.evaluate("""() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';
                             document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.1:9/x'; }""")
    assert page.evaluate("window.ran") is None
    context.close()


def until(page, holds):
    """Wait for it here: the page's policy lets nobody evaluate words inside it."""
    until = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < until, "it never came true"
        page.wait_for_timeout(100)


def test_it_follows_the_theme_is_light_on_paper_and_saves_both_kinds_of_picture(reports, browser, tmp_path):
    context = browser.new_context(offline=True, color_scheme="dark", viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.goto(reports["selection"].as_uri())
    page.wait_for_selector("html[data-drawn]")
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    dark = page.evaluate(ink)
    page.emulate_media(color_scheme="light")
    until(page, lambda: page.evaluate(ink) != dark)
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    until(page, lambda: page.evaluate(ink) == dark)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(ink) == light
    assert (
        page.evaluate("Math.max(...[...document.querySelectorAll('.plot .main-svg')].map(s => s.getBoundingClientRect().width))")
        <= 680
    )
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    for format, start in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as download:
            page.locator(f"button[data-format={format}]").first.click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
        (saved,) = tmp_path.glob(f"*.{format}")
        assert saved.read_bytes().startswith(start)
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()
